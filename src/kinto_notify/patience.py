"""How a room goes on: one step after another until it is asked to stop, patiently while Redis is away.

A step that raises `StoreUnavailable` is repeated after a growing, jittered pause; what it held is pending or leased in
Redis, so nothing is lost by repeating. Any other exception is a bug and ends the daemon, loudly.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from kinto_notify.errors import StoreUnavailable
from kinto_notify.telemetry import Telemetry

#: The first pause after a fault of Redis and the longest one, in seconds. Short: a fail-over takes a few seconds.
_PAUSES = (0.2, 5.0)
#: A room looks up at least so often, so that the watchdog sees it breathe and no missed nudge is missed for long.
IDLE_S = 1.0


class Pulse:
    """When each room last finished a step, by the monotonic clock: what the watchdog looks at."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._waiting: set[str] = set()

    def beat(self, room: str, *, served: bool) -> None:
        """Note that a room is alive; `served`: Redis gave it what it asked for."""
        self._last[room] = time.monotonic()
        (self._waiting.discard if served else self._waiting.add)(room)

    @property
    def waiting(self) -> list[str]:
        """The rooms that Redis does not serve, or has not yet."""
        return sorted(self._waiting)

    def rest(self, room: str) -> None:
        """Note that a room has ended as it should."""
        self._last.pop(room, None)
        self._waiting.discard(room)

    def stalled(self, limit_s: float) -> list[str]:
        """Return the rooms that have not finished a step for `limit_s` seconds."""
        now = time.monotonic()
        return [room for room, last in self._last.items() if now - last > limit_s]


async def patiently(
    room: str, step: Callable[[], Awaitable[object]], *, stop: asyncio.Event, telemetry: Telemetry, pulse: Pulse
) -> None:
    """Run `step` until `stop` is set."""
    pause = _PAUSES[0]
    # A room that hangs in its first step has stalled too.
    pulse.beat(room, served=False)
    while not stop.is_set():
        served = False
        try:
            await step()
        except StoreUnavailable as fault:
            telemetry.store_lost(room, str(fault))
            await wait_for(stop, pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, _PAUSES[1])
        else:
            telemetry.store_back(room)
            pause = _PAUSES[0]
            served = True
        pulse.beat(room, served=served)
    pulse.rest(room)


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so long; tell whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


async def wait_for_any(events: tuple[asyncio.Event, ...], seconds: float) -> None:
    """Wait until one of the events is set, at most so long."""
    if any(event.is_set() for event in events):
        return
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
