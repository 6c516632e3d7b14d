"""What a running daemon says of itself: alive, ready, and how long a mail took."""

import signal
from pathlib import Path

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.events import aged, change, event, publish
from support.smtp_server import SmtpServerThread
from support.stream import eventually


def asked(daemon: DaemonProcess, *arguments: str) -> tuple[int, str, str]:
    """What `kinto-notify health` says."""
    done = command("health", *arguments, sender="kinto@example.org", web_bind=f"127.0.0.1:{daemon.port}")
    return done.returncode, done.stdout, done.stderr


SERVICE = {"Host": "daemon:9464"}


def test_ready_while_a_mail_could_be_sent(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Waiting for Redis or the relay is not ill health, but it is not readiness either."""
    smtp.server.users = {"kinto": "right"}
    url = smtp.url.replace("smtp://", "smtp://kinto:wrong@")
    with DaemonProcess(tmp_path, redis_server.url, url, **machine) as daemon:
        daemon.wait_told("ready")
        eventually(lambda: daemon.get("/readyz", SERVICE) == (200, "ready\n"))
        assert asked(daemon, "--ready") == (0, "ready\n", "")
        publish(redis_server.url, "kinto-notify", event(change("x")))
        eventually(lambda: daemon.get("/readyz") == (503, "no smarthost can be used\n"))
        code, out, err = asked(daemon, "--ready")
        assert (code, out) == (69, "")
        assert err.endswith("/readyz: no smarthost can be used\n")
        assert asked(daemon) == (0, "ok\n", "")
        smtp.server.users = {"kinto": "wrong"}
        smtp.wait_for(1)
        eventually(lambda: daemon.get("/readyz")[0] == 200)
        redis_server.stop()
        eventually(lambda: daemon.get("/readyz")[0] == 503)
        # Each room finds out by itself; those that write to Redis only now and then come last.
        assert "Redis does not serve: " in daemon.get("/readyz")[1]
        assert daemon.get("/healthz", SERVICE) == (200, "ok\n")
        daemon.kill()


def test_a_room_that_hangs_is_told_of(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Redis accepts and never answers: from the first step on, nothing is served."""
    redis_server.signal(signal.SIGSTOP)
    try:
        with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
            eventually(lambda: daemon.told("ready"))
            status, text = daemon.get("/readyz")
            assert (status, text.partition(": ")[0]) == (503, "Redis does not serve")
            assert {"courier", "digester", "intake"} <= set(text.strip().partition(": ")[2].split(", "))
            daemon.kill()
    finally:
        redis_server.signal(signal.SIGCONT)


def test_the_seconds_from_the_capture_to_the_relay(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """The event's id is as old as its capture: here an hour before it reached the stream."""
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, "kinto-notify", event(change("x"), ident=aged(3_600)))
        daemon.wait_told("sent")
        assert daemon.metric("kinto_notify_end_to_end_seconds_count") == 1
        assert 3_600 <= daemon.metric("kinto_notify_end_to_end_seconds_sum") < 7_200
        assert daemon.stop() == 0
