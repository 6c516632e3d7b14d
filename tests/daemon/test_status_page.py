"""The status page of the installed daemon: what it says after a mail, what a reload changes, and who may see it."""

import re
import signal
from pathlib import Path

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.smtp_server import SmtpServerThread
from support.stream import eventually

TOKEN = "not-to-be-seen-anywhere"


def test_the_page_of_a_running_daemon(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    def page() -> str:
        status, html = daemon.get("/")
        assert status == 200
        return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())

    with DaemonProcess(tmp_path, redis_server.url, smtp.url, admin_token=TOKEN, **machine) as daemon:
        daemon.wait_told("ready")
        eventually(lambda: "✓ mail can be sent" in page())
        publish(redis_server.url, "kinto-notify", event(change("x")))
        smtp.wait_for(1)
        eventually(lambda: re.search(r"Recent mails all ✓ sent", page()))
        # Housekeeping looks at the totals every few seconds.
        eventually(lambda: re.search(r"Events a minute \d this minute, at most 1, 1 since", page()))
        eventually(lambda: re.search(r"Mails a minute \d this minute, at most 1, 1 since", page()))
        assert TOKEN not in daemon.get("/")[1] + daemon.log.read_text()
        afar = {"X-Forwarded-For": "192.0.2.1"}
        assert daemon.get("/", afar)[0] == 401
        assert daemon.get("/", afar | {"Authorization": f"Bearer {TOKEN}"})[0] == 200
        table = Path(machine["subscriptions"])
        table.write_text(table.read_text().replace('name = "all"', 'name = "everything"'))
        daemon.signal(signal.SIGHUP)
        daemon.wait_told("reloaded")
        assert daemon.get("/preview/everything")[0] == 200
        assert daemon.get("/preview/all")[0] == 404
        redis_server.signal(signal.SIGSTOP)
        try:
            assert daemon.get("/")[0] == 503
            assert daemon.get("/healthz") == (200, "ok\n")
        finally:
            redis_server.signal(signal.SIGCONT)
        eventually(lambda: daemon.get("/")[0] == 200)
        assert daemon.stop() == 0
