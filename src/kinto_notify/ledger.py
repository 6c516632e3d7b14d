"""The leases that this daemon holds: renewed while work on them lasts, settled in batches, until Redis has answered.

It is the last to stop: a lease outlives the work, and a settlement that Redis could not take is kept and repeated.
"""

import asyncio
import time
from collections.abc import Iterable

from kinto_notify.delivery import Delivery
from kinto_notify.errors import StoreUnavailable
from kinto_notify.patience import wait_for
from kinto_notify.store.deliveries import LEASE_MS, PERMIT_MS, Deliveries, Settlement
from kinto_notify.telemetry import Telemetry

#: A lease and a permit of the rate outlive two renewals that fail.
_RENEW_EVERY_S = PERMIT_MS / 1000 / 3
#: Where so many leases are held a settlement waits so long for others: to tell them one by one would cost as much as to
#: send them. It is short, and over as soon as there are that many: a daemon that is killed meanwhile has their mails
#: sent again. A lone one is told at once.
_MANY = 8
_GATHER_S = 0.005
#: Settlements to a script, so that it stays under some milliseconds.
_BATCH = 500


class Ledger:
    """What we hold and what we have to tell. One per daemon."""

    def __init__(self, deliveries: Deliveries, telemetry: Telemetry) -> None:
        self._deliveries = deliveries
        self._telemetry = telemetry
        # The fence of each delivery in work, until when it is ours by our own monotonic clock, for how long at a time.
        self._held: dict[str, tuple[int, float, float]] = {}
        self._settlements: list[Settlement] = []
        self._woken = asyncio.Event()
        self._enough = asyncio.Event()
        self._telling = asyncio.Lock()
        self._next_renewal = time.monotonic() + _RENEW_EVERY_S

    def hold(self, deliveries: Iterable[Delivery], since: float, sure: int = LEASE_MS) -> None:
        """Take leases into the book; `since` is the monotonic time *before* they were asked for, `sure` as `Leased`."""
        for delivery in deliveries:
            self._held[delivery.id] = (delivery.fence, since + sure / 1000, sure / 1000)

    def ours(self, delivery: Delivery) -> bool:
        """Tell whether a lease still stands by our own clock: the check just before a message goes out."""
        held = self._held.get(delivery.id)
        return held is not None and held[0] == delivery.fence and time.monotonic() < held[1]

    def drop(self, delivery: Delivery) -> None:
        """Let a lease run out; a later one of the same delivery is another matter."""
        if self._held.get(delivery.id, (None,))[0] == delivery.fence:
            del self._held[delivery.id]

    def settle(self, settlement: Settlement) -> None:
        """Take note of an end; it is told to Redis with the next batch."""
        self._held.pop(settlement.id, None)
        self._settlements.append(settlement)
        self._woken.set()
        if len(self._settlements) >= _MANY:
            self._enough.set()

    def wake(self) -> None:
        """End the wait of `work`."""
        self._woken.set()

    @property
    def untold(self) -> int:
        """How many settlements Redis has not taken yet."""
        return len(self._settlements)

    async def work(self) -> None:
        """Tell what is settled and renew what is due for it; waits up to a second when there is nothing to tell."""
        if await wait_for(self._woken, 1.0) and len(self._held) >= _MANY:
            await wait_for(self._enough, _GATHER_S)
        self._enough.clear()
        self._woken.clear()
        await self.tell()
        if time.monotonic() >= self._next_renewal:
            await self._renew()
            self._next_renewal = time.monotonic() + _RENEW_EVERY_S

    async def tell(self) -> None:
        """Settle all that is noted; on `StoreUnavailable` it stays noted (settling twice does nothing)."""
        # The drain's last words come while `work` may be telling too: neither must strike out what is not told.
        async with self._telling:
            while self._settlements:
                batch = self._settlements[:_BATCH]
                try:
                    await self._deliveries.settle(batch)
                except StoreUnavailable:
                    self._woken.set()
                    raise
                del self._settlements[: len(batch)]

    async def _renew(self) -> None:
        since = time.monotonic()
        held = {ident: fence for ident, (fence, *_) in self._held.items()}
        if not held:
            return
        lost = await self._deliveries.renew(held)
        for ident in held.keys() - set(lost):
            if ident in self._held:
                _, _, sure = self._held[ident]
                self._held[ident] = (held[ident], since + sure, sure)
        # What was settled while we asked is not lost.
        gone = [ident for ident in lost if self._held.pop(ident, None) is not None]
        if gone:
            self._telemetry.lease_lost(gone)
