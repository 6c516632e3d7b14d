"""sd_notify(3) as a service manager hears it: on a socket in the file system and on an abstract one."""

import os
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.systemd import ServiceManager
from support.daemon import DaemonProcess
from support.desk import Desk
from support.waiting import until

linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


@pytest.fixture
def heard() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(60)
        yield link


@pytest.fixture(params=["path", pytest.param("abstract", marks=linux)])
def address(request: pytest.FixtureRequest, heard: socket.socket, tmp_path: Path) -> str:
    """Bind the socket; return what NOTIFY_SOCKET says."""
    if request.param == "path":
        heard.bind(str(tmp_path / "notify"))
        return str(tmp_path / "notify")
    name = f"kinto-notify-{uuid.uuid4().hex}"
    heard.bind(f"\0{name}")
    return f"@{name}"


def test_every_word_arrives(address: str, heard: socket.socket) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    manager.ready("serving")
    manager.reloading()
    manager.alive()
    manager.stopping(50.0)
    words = [heard.recv(4096).decode() for _ in range(4)]
    assert words[0] == "READY=1\nSTATUS=serving"
    kind, _, stamp = words[1].partition("\nMONOTONIC_USEC=")
    assert kind == "RELOADING=1"
    assert stamp.isdigit()
    assert words[2:] == ["WATCHDOG=1", "STOPPING=1\nEXTEND_TIMEOUT_USEC=50000000\nSTATUS=draining"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/no/such/socket"}])
def test_without_a_service_manager_nothing_happens(environ: dict[str, str]) -> None:
    manager = ServiceManager(environ)
    for act in (lambda: manager.ready("serving"), manager.reloading, manager.alive, lambda: manager.stopping(1.0)):
        act()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        # A watchdog that was set for another process (our parent) is not ours.
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_patience(environ: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "@x", **environ}).watchdog_s == seconds
    assert ServiceManager(environ).watchdog_s is None


@pytest.mark.parametrize("dry", ["false", "true"])
def test_a_daemon_tells_its_life(address: str, heard: socket.socket, tmp_path: Path, redis_url: str, dry: str) -> None:
    """A dry run too: under `Type=notify` and a watchdog it would be killed else."""
    desk = Desk(redis_url, "smtp://127.0.0.1:1")
    daemon = DaemonProcess(tmp_path, redis_url, "smtp://127.0.0.1:1", namespace=desk.namespace, dry_run=dry)
    daemon.extra_environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}
    with daemon:
        words: list[str] = []

        def hear(word: str) -> bool:
            words.append(heard.recv(4096).decode())
            return word in words[-1]

        until(lambda: hear("READY=1"), 60)
        until(lambda: hear("WATCHDOG=1"), 60)
        assert daemon.stop() == 0
        until(lambda: hear("STOPPING=1"), 60)
    assert not [word for word in words[:-1] if "STOPPING" in word]
