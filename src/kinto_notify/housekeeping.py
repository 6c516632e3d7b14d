"""Housekeeping: the gauges, the bounds of what is kept, and a look at the server.

In: what stands in Redis. Out: gauges, log lines about pauses, the herald's turn, and less in Redis. A server that
cannot be worked with is a `ConfigError`; Redis away is `StoreUnavailable`, and the step is repeated.
"""

import asyncio
from collections.abc import Callable, Mapping

from kinto_notify.errors import ConfigError
from kinto_notify.herald import Herald
from kinto_notify.patience import wait_for
from kinto_notify.pressure import Admission, admit
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.overview import examine, overview
from kinto_notify.store.pauses import Pauses
from kinto_notify.store.stream import Stream
from kinto_notify.store.trail import Trail
from kinto_notify.telemetry import Telemetry

_EVERY_S = 5.0


class Housekeeping:
    """The room that cleans. `busy` tells how many sessions are at work, `totals` hears the time and what has gone."""

    def __init__(
        self,
        client: Client,
        stream: Stream,
        telemetry: Telemetry,
        herald: Herald,
        *,
        busy: Callable[[], int],
        totals: Callable[[int, Mapping[str, int]], None] = lambda now, totals: None,
    ) -> None:
        self._client = client
        self._stream = stream
        self._telemetry = telemetry
        self._herald = herald
        self._busy = busy
        self._totals = totals
        self._dead = DeadLetters(client)
        self._pauses = Pauses(client)
        self._trail = Trail(client)
        self._paused: Mapping[str, int] = {}
        self._examined = False
        self._admission = Admission.OPEN

    async def step(self, stop: asyncio.Event) -> None:
        """Do all of it once, and wait some seconds."""
        if not self._examined:
            await self._examine()
        now = await self._client.time()
        await self._dead.sweep(now)
        await self._trail.trim(now)
        await self._stream.sweep_consumers()
        await self._pauses.finish()
        seen = await overview(self._client)
        self._telemetry.waiting(seen.numbers(), self._busy())
        # What the relays decide too, from the same numbers.
        self._admission = admit(self._admission, seen.load.level)
        self._telemetry.pressure(seen.load, self._admission)
        self._totals(now, seen.totals)
        self._tell_of_pauses(seen.paused)
        await self._herald.work()
        await wait_for(stop, _EVERY_S)

    async def _examine(self) -> None:
        found = await examine(self._client)
        if found.fatal:
            raise ConfigError([f"Redis: {text}" for text in found.fatal])
        for doubt in found.doubts:
            self._telemetry.warning(f"Redis: {doubt}")
        self._examined = True

    def _tell_of_pauses(self, paused: Mapping[str, int]) -> None:
        for name in paused.keys() - self._paused.keys():
            self._telemetry.paused(name)
        for name in self._paused.keys() - paused.keys():
            self._telemetry.resumed(name)
        self._paused = paused
