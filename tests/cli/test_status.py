"""`status` and `health`: true numbers of a real namespace, and of a real daemon."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread


def numbers(desk: Desk) -> dict[str, object]:
    done = desk("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    assert told.pop("server").startswith(("Redis ", "Valkey "))
    assert told.pop("namespace") == desk.namespace
    totals = told.pop("totals")
    load = told.pop("load")
    assert load["used"] > load["limit"] == 0
    assert load["unfiled"] <= told["stream"]
    return told | {"totals": {name: number for name, number in totals.items() if number and name != "batches"}}


EMPTY = {
    "stream": 0,
    "pending": 0,
    "lag": 0,
    "open_digests": 0,
    "due_digests": 0,
    "paused_digests": 0,
    "paused": {},
    "outages": [],
    "hooks": [],
    "frozen_digests": 0,
    "deliveries": 0,
    "due_deliveries": 0,
    "dead_letters": 0,
}


def test_the_numbers_are_true_at_every_station(desk: Desk, smtp: SmtpServerThread) -> None:
    assert numbers(desk) == {**EMPTY, "totals": {}}
    desk.publish(event(change("a"), change("b")), event(change("c")), event(change("d"), collection_id="other"))
    assert numbers(desk) == {**EMPTY, "stream": 3, "lag": 3, "totals": {}}

    # Filed, but not due for an hour.
    assert desk("run", "--once", digest_wait="1h").returncode == 0
    told = numbers(desk)
    filed = {"events": 3, "changes": 4}
    assert told == {**EMPTY, "stream": told["stream"], "open_digests": 2, "totals": filed}

    # One more in another collection: composed at once, and deferred by the smarthost.
    smtp.server.script["rcpt"] = "450 4.2.0 later"
    desk.publish(event(change("e"), collection_id="third"))
    assert desk("run", "--once", retry_min="1h").returncode == 0
    told = numbers(desk)
    deferred = {"events": 4, "changes": 5, "deferred": 1}
    assert told == {**EMPTY, "stream": told["stream"], "open_digests": 2, "deliveries": 1, "totals": deferred}

    # And one that the smarthost refuses.
    smtp.server.script["rcpt"] = "550 5.1.1 never"
    desk.publish(event(change("f"), collection_id="fourth"))
    assert desk("run", "--once").returncode == 0
    told = numbers(desk)
    assert told["dead_letters"] == 1
    assert told["totals"] == {"events": 5, "changes": 6, "deferred": 1, "refused": 1}


def test_for_people(desk: Desk) -> None:
    desk.publish(event(), event())
    assert desk("run", "--once").returncode == 0
    done = desk("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f", namespace {desk.namespace}")
    shown = dict(line.rsplit(None, 1) for line in lines[1:] if line != "so far")
    assert {label.strip(): number for label, number in shown.items()} == {
        "entries in the stream": "0",
        "not read yet": "0",
        "read, not filed yet": "0",
        "digests open": "0",
        "of them due": "0",
        "of them paused": "0",
        "digests being composed": "0",
        "deliveries waiting": "0",
        "due now": "0",
        "dead letters": "0",
        "events": "2",
        "changes": "2",
        "known": "0",
        "discarded": "0",
        "sent": "1",
        "deferred": "0",
        "refused": "0",
    }


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["dead-letters", "list"]])
def test_without_redis(nowhere: Desk, arguments: list[str]) -> None:
    done = nowhere(*arguments)
    assert (done.returncode, done.stdout) == (69, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("kinto-notify: Redis: ")


def test_health_of_a_daemon_that_is_well_and_of_none(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, desk: Desk
) -> None:
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, namespace=desk.namespace) as daemon:
        daemon.wait_told("ready")
        done = desk("health", web_bind=f"0.0.0.0:{daemon.port}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
        assert desk("health", web_bind=f"localhost:{daemon.port}").returncode == 0
    done = desk("health", web_bind=f"127.0.0.1:{daemon.port}")
    assert (done.returncode, done.stdout) == (69, "")
    url = f"http://127.0.0.1:{daemon.port}/healthz"
    assert done.stderr == f"kinto-notify: {url}: [Errno 111] Connection refused\n"


def test_health_where_it_is_switched_off(desk: Desk) -> None:
    done = desk("health", web_bind="off")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "kinto-notify: KINTO_NOTIFY_WEB_BIND is off: there is no health to ask for\n"


@pytest.fixture
def stranger() -> Iterator[tuple[socket.socket, int]]:
    """Something else that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, server.getsockname()[1]


@pytest.mark.parametrize("answer", [b"SSH-2.0-strange\r\n", b"", b"HTTP/1.0 503 No\r\n\r\nstalled: courier\n"])
def test_health_of_something_else(desk: Desk, stranger: tuple[socket.socket, int], answer: bytes) -> None:
    server, port = stranger

    def serve() -> None:
        link, _ = server.accept()
        with link:
            link.recv(4096)
            link.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    done = desk("health", web_bind=f"127.0.0.1:{port}")
    thread.join()
    assert (done.returncode, done.stdout) == (69, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kinto-notify: http://127.0.0.1:{port}/healthz: ")
    assert not answer.startswith(b"HTTP") or line.endswith(": stalled: courier")
