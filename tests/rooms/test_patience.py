"""A room goes on through every absence of Redis, and stops for a bug."""

import asyncio
import json
import time

import pytest

from kinto_notify import patience
from kinto_notify.errors import StoreUnavailable
from kinto_notify.patience import Pulse, patiently, wait_for, wait_for_any
from kinto_notify.telemetry import Telemetry, configure_logging


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock's double: pauses of a thousandth."""
    monkeypatch.setattr(patience, "_PAUSES", (0.0002, 0.005))


class Room:
    """A step that goes as it is told: None is fine, text an absence of Redis, an exception is raised."""

    def __init__(self, *acts: str | Exception | None) -> None:
        self.acts = list(acts)
        self.stop = asyncio.Event()
        self.begun = asyncio.Event()
        self.pulse = Pulse()
        self.telemetry = Telemetry()
        self.steps = 0

    async def step(self) -> None:
        self.steps += 1
        self.begun.set()
        act = self.acts.pop(0)
        if not self.acts:
            self.stop.set()
        if isinstance(act, str):
            raise StoreUnavailable(act)
        if act is not None:
            raise act

    async def live(self) -> None:
        await patiently("intake", self.step, stop=self.stop, telemetry=self.telemetry, pulse=self.pulse)

    def up(self) -> float | None:
        return self.telemetry.registry.get_sample_value("kinto_notify_store_up", {"room": "intake"})


def told(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(line["event"], line.get("reason", "")) for line in lines]


async def test_it_repeats_until_redis_is_back_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "INFO")
    room = Room(None, *["refused"] * 20, *["loading"] * 3, None, None)
    await room.live()
    assert room.steps == 26
    assert told(capsys) == [
        ("redis unavailable", "refused"),
        ("redis unavailable", "loading"),
        ("redis is back", ""),
    ]
    assert room.up() == 1


async def test_while_it_is_away_the_gauge_says_so() -> None:
    room = Room("refused")
    await room.live()
    assert room.up() == 0


@pytest.mark.parametrize("bug", [ValueError("a bug"), TimeoutError("not translated"), ConnectionError("nor this")])
async def test_a_bug_ends_it(bug: Exception) -> None:
    """Only the store's own word means patience."""
    room = Room(None, bug, None)
    with pytest.raises(type(bug)):
        await room.live()
    assert room.steps == 2


async def test_asked_to_stop_it_does_not_wait_out_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSES", (3600.0, 3600.0))
    room = Room("refused", None)
    living = asyncio.create_task(room.live())
    await room.begun.wait()
    room.stop.set()
    async with asyncio.timeout(60):
        await living
    assert room.steps == 1


async def test_a_room_that_hangs_in_its_first_step_is_stalled() -> None:
    pulse, stop = Pulse(), asyncio.Event()
    hanging = asyncio.create_task(patiently("intake", stop.wait, stop=stop, telemetry=Telemetry(), pulse=pulse))
    await asyncio.sleep(0)
    assert pulse.stalled(-1.0) == ["intake"]
    stop.set()
    await hanging


async def test_an_ended_room_is_not_stalled() -> None:
    room = Room(None)
    await room.live()
    assert room.pulse.stalled(-1.0) == []


def test_the_pulse_names_rooms_that_do_not_move() -> None:
    pulse = Pulse()
    pulse.beat("intake", served=True)
    pulse.beat("courier", served=True)
    assert pulse.stalled(3600.0) == []
    assert pulse.stalled(-1.0) == ["intake", "courier"]
    pulse.rest("intake")
    assert pulse.stalled(-1.0) == ["courier"]


async def test_waiting_ends_with_the_event_or_the_time() -> None:
    event, other = asyncio.Event(), asyncio.Event()
    assert not await wait_for(event, 0.001)
    await wait_for_any((event, other), 0.001)
    asyncio.get_running_loop().call_soon(other.set)
    begun = time.monotonic()
    await wait_for_any((event, other), 3600.0)
    assert await wait_for(other, 3600.0)
    assert time.monotonic() - begun < 600
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.cancelling()] == []


async def test_a_room_is_served_once_a_step_has_come_to_its_end() -> None:
    """What /readyz looks at: not before the first one, nor after one that Redis refused."""
    seen: list[list[str]] = []
    room = Room("refused", None, "refused", None, None)
    step = room.step

    async def look() -> None:
        seen.append(room.pulse.waiting)
        await step()

    room.step = look  # type: ignore[method-assign]
    await room.live()
    assert seen == [["intake"], ["intake"], [], ["intake"], []]
    assert room.pulse.waiting == [], "it has ended as it should"
