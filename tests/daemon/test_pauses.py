"""A pause in a running daemon: honoured at once, outlived by none of its lives; and what a process shows of secrets."""

import json
from pathlib import Path

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.events import change, event, publish
from support.inbox import letters, uris
from support.smtp_server import SmtpServerThread
from support.stream import eventually


def test_a_pause_outlives_a_killed_daemon(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    settings = {"redis_url": redis_server.url, "sender": "kinto@example.org", **machine}
    daemon = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine)

    def gathered() -> int:
        return int(json.loads(command("status", "--json", **settings).stdout)["totals"].get("events", 0))

    try:
        daemon.start().wait_told("ready")
        assert command("pause", "all", **settings).returncode == 0
        publish(redis_server.url, "kinto-notify", event(change("one")))
        eventually(lambda: gathered() == 1)
        daemon.wait_told("paused")
        daemon.kill()
        daemon.start()
        publish(redis_server.url, "kinto-notify", event(change("two")))
        eventually(lambda: gathered() == 2)
        daemon.wait_told("paused", 2)
        assert smtp.mails == []
        assert command("resume", "all", **settings).returncode == 0
        (mail,) = smtp.wait_for(1)
        assert len(uris(letters([mail]))) == 2, "one mail of both"
        daemon.wait_told("resumed")
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def test_x09_a_running_daemon_shows_no_secret_no_address_and_no_content(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Its log, its metrics, and what `ps` shows of it, after a mail that was sent, one refused and one deferred."""
    smtp.server.users = {"kinto": "hunter2"}
    smtp.server.script["rcpt"] = ["250 2.1.5 anna@example.org ok", "550 5.1.1 no anna@example.org", "450 4.2.0 later"]
    url = smtp.url.replace("smtp://", "smtp://kinto:hunter2@")
    secrets = {"secret": "hunter2-hunter2-hunter2", "operator": "ops@example.org"}
    with DaemonProcess(tmp_path, redis_server.url, url, **machine, **secrets) as daemon:
        for number in range(3):
            record = {"id": f"r{number}", "title": "content-of-a-record"}
            publish(redis_server.url, "kinto-notify", event(change(f"r{number}", new=record)))
            eventually(lambda done=number: sum(map(len, map(daemon.told, ("sent", "refused", "deferred")))) == done + 1)
        assert daemon.process is not None
        shown = daemon.log.read_text() + daemon.get("/metrics")[1]
        shown += Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
        assert daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    attempts = [line for line in lines if line["event"] in ("sent", "refused", "deferred")]
    assert len(attempts) == 3, "one line for each attempt"
    assert all({"delivery", "to", "reply"} <= set(line) for line in attempts)
    for hidden in ("hunter2", "content-of-a-record", "anna@", "ops@"):
        assert hidden not in shown + daemon.log.read_text(), hidden
