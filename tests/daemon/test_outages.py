"""Redis or the smarthost away for a while: every write answers as always, and all is delivered afterwards."""

import json
import signal
import time
from pathlib import Path

import pytest

from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import DaemonProcess
from support.inbox import letters, uris
from support.smtp_server import SmtpServerThread
from support.stream import eventually

RECORDS = "/buckets/b/collections/c/records"


@pytest.fixture
def machine(machine: dict[str, str]) -> dict[str, str]:
    """One mail for each change: a digest of all that came meanwhile would be too large to list everything."""
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace("max_listed = 1000", 'group_by = ["change"]'))
    return machine


#: How long a server is away, in seconds: longer than any pause of the rooms, so that they meet the outage.
AWAY_S = 10.0


class Writer:
    """Writes records one after another and notes which were acknowledged."""

    def __init__(self, kinto: KintoServer) -> None:
        self.kinto = kinto
        self.written: list[str] = []
        for path in ("/buckets/b", "/buckets/b/collections/c"):
            assert kinto.request("PUT", path, b"{}")[0] == 201

    def write(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ident = f"r{len(self.written)}"
            status, body = self.kinto.request(
                "PUT", f"{RECORDS}/{ident}", json.dumps({"data": {"title": ident}}).encode()
            )
            assert status == 201, body
            self.written.append(f"{RECORDS}/{ident}")

    def wait_for_all(self, smtp: SmtpServerThread) -> None:
        eventually(lambda: set(self.written) <= uris(letters(list(smtp.mails))).keys(), 60)
        told = uris(letters(smtp.mails))
        assert {told[uri] for uri in self.written} == {1}
        assert len(smtp.mails) == len({letter.ident for letter in letters(smtp.mails)})


@pytest.mark.parametrize("how", ["stopped", "hung"])
def test_redis_away(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str], how: str
) -> None:
    """K05, K06, R01, R13: killed and started again on the same port and file, or frozen and thawed."""
    with (
        KintoServer(tmp_path, redis_server.url) as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
    ):
        writer = Writer(kinto)
        writer.write(0.5)
        if how == "stopped":
            redis_server.stop()
        else:
            redis_server.signal(signal.SIGSTOP)
        writer.write(AWAY_S)
        if how == "stopped":
            daemon.wait_told("redis unavailable")
            redis_server.start()
        else:
            redis_server.signal(signal.SIGCONT)
        writer.write(0.5)
        writer.wait_for_all(smtp)
        assert daemon.stop() == 0


def test_smarthost_away(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """S01: the circuit opens, nothing is buried, and no attempt is counted."""
    with (
        KintoServer(tmp_path, redis_server.url) as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
    ):
        writer = Writer(kinto)
        writer.write(0.5)
        smtp.stop()
        writer.write(AWAY_S)
        daemon.wait_told("smarthost unavailable")
        assert daemon.metric("kinto_notify_relay_up") == 0
        smtp.start()
        writer.write(0.5)
        writer.wait_for_all(smtp)
        daemon.wait_told("smarthost is back")
        assert daemon.told("refused") == daemon.told("gave up") == []
        assert daemon.stop() == 0


def test_run_waits_for_servers_that_are_not_there_yet(tmp_path: Path, machine: dict[str, str]) -> None:
    """Started before Redis and the relay exist: it waits for both, and then works."""
    redis_server, smtp = RedisServer(tmp_path), SmtpServerThread()
    smtp.start()
    smtp.stop()
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        daemon.wait_told("redis unavailable", 3)
        with redis_server, KintoServer(tmp_path, redis_server.url) as kinto:
            writer = Writer(kinto)
            writer.write(0.2)
            daemon.wait_told("smarthost unavailable")
            with smtp:
                writer.wait_for_all(smtp)
            assert daemon.stop() == 0
