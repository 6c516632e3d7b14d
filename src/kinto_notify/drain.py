"""The end of a daemon: those that take end first, then what is in hand, then what Redis must be told.

In: the rooms and their tasks. Out: whether all was finished. It lasts no longer than `DRAIN_TIMEOUT` and
`LAST_WORDS_S`, whatever Redis and the smarthost do: a service manager that waits in vain kills. What is cut off loses
nothing: entries stay pending, leases run out by themselves.
"""

import asyncio
import contextlib
from collections.abc import Collection

from kinto_notify.courier import Courier
from kinto_notify.errors import KintoNotifyError, StoreUnavailable
from kinto_notify.intake import Intake
from kinto_notify.ledger import Ledger
from kinto_notify.store.stream import Stream

#: After the drain Redis may take this long to hear what was filed and settled; later the leases speak for themselves.
LAST_WORDS_S = 5.0
#: Beside DRAIN_TIMEOUT a stop takes at most this: the last words, a last turn of the ledger, QUIT to idle sessions,
#: the end of the web server (1 s), each a little late. The units' TimeoutStopSec is longer than both together.
DRAIN_MARGIN_S = 10.0
#: How long a room that was asked to stop may take for its last turn, once there is nothing left to wait for.
_TURN_S = 1.0

Task = asyncio.Task[None]


class Drain:
    """One drain. `timeout_s` is counted from `rooms`, or from `finish` where that comes first."""

    def __init__(self, intake: Intake, courier: Courier, ledger: Ledger, stream: Stream, *, timeout_s: float) -> None:
        self._intake = intake
        self._courier = courier
        self._ledger = ledger
        self._stream = stream
        self._timeout_s = timeout_s
        self._deadline: float | None = None

    async def rooms(self, tasks: Collection[Task]) -> None:
        """Let the rooms that were asked to stop end; those that hang, since Redis does, are cut off."""
        await _end(tasks, self._remaining())

    async def finish(self, ledger: Task, told: asyncio.Event) -> bool:
        """End what is in hand and tell Redis of it; tell whether no attempt was cut off or left untold.

        `told` stops the ledger, the last of all: it renews leases until then.
        """
        clean = await self._courier.drain(self._remaining())
        await self._last_words()
        clean = clean and not self._ledger.untold
        told.set()
        self._ledger.wake()
        await _end([ledger], _TURN_S)
        return clean

    def _remaining(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._timeout_s
        return max(self._deadline - now, 0.0)

    async def _last_words(self) -> None:
        """Tell Redis what is settled, as often as it takes within a few seconds; file what was read; leave."""
        with contextlib.suppress(TimeoutError, KintoNotifyError):
            async with asyncio.timeout(LAST_WORDS_S):
                while self._ledger.untold:
                    try:
                        await self._ledger.tell()
                    except StoreUnavailable:
                        await asyncio.sleep(0.2)
                await self._intake.finish()
                await self._stream.leave()


async def _end(tasks: Collection[Task], seconds: float) -> None:
    """Wait for tasks, at most so long, then cancel what is left."""
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
