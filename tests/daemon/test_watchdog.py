"""The watchdog is fed while every room moves, and not by a loop that lives on around one that hangs."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kinto_notify import patience
from kinto_notify.daemon import STALL_S, Daemon
from kinto_notify.patience import Pulse
from kinto_notify.settings import load_settings
from kinto_notify.telemetry import Telemetry
from support.daemon import clean_environment

WATCHDOG_S = 0.3


class Watched(Pulse):
    """Tells each time it was asked: that the watchdog had its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: asyncio.Queue[None] = asyncio.Queue()

    def stalled(self, limit_s: float) -> list[str]:
        self.looks.put_nowait(None)
        return super().stalled(limit_s)


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1_000_000)))
        yield link


def words(link: socket.socket) -> int:
    """How many words have come since the last look."""
    count = 0
    try:
        while link.recv(4096):
            count += 1
    except BlockingIOError:
        return count
    return count


async def turns(pulse: Watched, count: int = 3) -> None:
    """Let the watchdog look so often."""
    while not pulse.looks.empty():
        pulse.looks.get_nowait()
    async with asyncio.timeout(30):
        for _ in range(count):
            await pulse.looks.get()


async def test_a_room_that_hangs_stops_the_feeding(heard: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    # The clock's double: rooms are looked at through it, the loop is not.
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: now[0]))
    daemon = Daemon(load_settings(clean_environment(sender="kinto@example.org")), Telemetry())
    daemon._pulse = pulse = Watched()
    stop, gate, hung = asyncio.Event(), asyncio.Event(), asyncio.Event()
    gate.set()

    async def step() -> None:
        if not gate.is_set():
            hung.set()
        await gate.wait()
        await asyncio.sleep(0.001)

    tasks = [daemon._room("courier", step, stop), asyncio.create_task(daemon._feed_watchdog())]
    try:
        await turns(pulse)
        assert words(heard) > 0
        gate.clear()
        await asyncio.wait_for(hung.wait(), 30)
        # Shorter than the room's limit: waiting is no illness.
        now[0] += STALL_S - 1
        await turns(pulse)
        assert words(heard) > 0
        now[0] += 2
        await turns(pulse, 1)
        words(heard)
        await turns(pulse)
        assert words(heard) == 0
        gate.set()
        async with asyncio.timeout(30):
            while not words(heard):
                await turns(pulse, 1)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
