"""Digester: due digest → one rendered message per recipient → deliveries.

In: digests that are due, frozen under a lease. Out: deliveries, made in atomic steps of at most 500 with a stored
cursor: a crash resumes where it stopped. A digest that cannot be composed, or that ends each daemon which tries it,
becomes a dead letter with its reason.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from kinto_notify.compose.composer import Composer
from kinto_notify.digest import FrozenDigest
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.alone import Alone
from kinto_notify.store.digests import LEASE_MS, Addressed, Digests, Step, Unreadable
from kinto_notify.telemetry import Telemetry

#: Deliveries to a script, so that it stays under some milliseconds; and to the first one of a lease.
STEP, FIRST_STEP = 500, 16
#: Digests to a lease: their lines are in memory at once.
BATCH = 64
#: So long the loop may be kept from its other work between two mails.
TURN_S = 0.002
#: A digest that was leased so often is composed alone: perhaps its template never ends, and the watchdog did it.
WORN_LEASES = 2
#: One that ended so many daemons while it was composed alone is buried. Faults of Redis never count: they end nobody.
FATAL_TIMES = 3


class Digester:
    """The room that composes. `ready` is called when there are new deliveries; `wanted` says how many digests may be
    frozen now: what no relay takes had better go on gathering.
    """

    def __init__(
        self,
        digests: Digests,
        alone: Alone,
        composer: Callable[[], Composer],
        telemetry: Telemetry,
        *,
        bounce_address: str,
        ready: Callable[[], None],
        wanted: Callable[[], int] = lambda: BATCH,
    ) -> None:
        self._digests = digests
        self._alone = alone
        # What was leased and is not done: after a fault of Redis nobody else would have it before the lease ends.
        self._in_hand: dict[str, FrozenDigest] = {}
        self._ours_until = 0.0
        self._composer = composer
        self._telemetry = telemetry
        self._bounce_address = bounce_address
        self._ready = ready
        self._wanted = wanted

    async def work(self) -> int:
        """Compose what is due, up to a batch; return how many digests it had."""
        met = await self._lease() if not self._in_hand or time.monotonic() >= self._ours_until else 0
        digests = list(self._in_hand.values())
        # Those that may be fatal come last, so that the others are out of it.
        await self._compose([digest for digest in digests if digest.fence <= WORN_LEASES])
        for digest in digests:
            if digest.fence > WORN_LEASES:
                await self._compose_alone(digest)
        return max(met, len(digests))

    async def _lease(self) -> int:
        """Take in hand what is due; return how many digests were met."""
        # Before the question: by Redis' clock the lease begins later.
        self._ours_until = time.monotonic() + LEASE_MS / 1000
        self._in_hand = {}
        due = await self._digests.freeze(BATCH, self._wanted())
        self._in_hand = {digest.id: digest for digest in due}
        if due.newer:
            self._telemetry.newer_forms(due.newer)
        for spoilt in due.unreadable:
            await self._bury(spoilt, "cannot be read as it is stored")
        return len(due) + len(due.unreadable)

    async def _compose(self, digests: Sequence[FrozenDigest]) -> None:
        steps: list[Step] = []
        # The first ones go to sessions that may be idle, while the others are made.
        turn, most = 0.0, FIRST_STEP
        for digest in digests:
            # A large mail takes 50 ms: sessions and signals must not wait for all. Small ones are made in a row.
            if time.monotonic() >= turn:
                await asyncio.sleep(0)
                turn = time.monotonic() + TURN_S
            made = steps_of(digest, self._composer(), self._bounce_address)
            while True:
                try:
                    # One after another: the headers for all of many recipients would be in memory at once.
                    step = next(made, None)
                except Exception as fault:  # noqa: BLE001 - one digest that cannot be composed harms no other
                    await self._bury(digest, f"cannot be composed: {type(fault).__name__}")
                    break
                if step is None:
                    break
                if steps and sum(len(one.addressed) for one in steps) + len(step.addressed) > most:
                    await self._fan_out(steps)
                    steps, most = [], STEP
                steps.append(step)
        if steps:
            await self._fan_out(steps)

    async def _compose_alone(self, digest: FrozenDigest) -> None:
        times = await self._alone.begin(digest.id)
        try:
            if times > FATAL_TIMES:
                await self._bury(digest, f"ended the daemon {FATAL_TIMES} times while it was composed alone")
            else:
                await self._compose([digest])
        except StoreUnavailable:
            with contextlib.suppress(StoreUnavailable):
                await self._alone.end(digest.id)
            raise
        await self._alone.end(digest.id)

    async def _bury(self, digest: FrozenDigest | Unreadable, reason: str) -> None:
        await self._digests.bury(digest, reason)
        self._in_hand.pop(digest.id, None)
        subscription = digest.key.identity if isinstance(digest, FrozenDigest) else "unknown"
        self._telemetry.digest_buried(digest.id, subscription, reason)

    async def _fan_out(self, steps: Sequence[Step]) -> None:
        if await self._digests.fan_out(steps):
            self._ready()
        for step in steps:
            if step.last:
                self._in_hand.pop(step.digest.id, None)
                self._telemetry.composed(step.digest, len(step.digest.recipients))


def steps_of(digest: FrozenDigest, composer: Composer, bounce_address: str) -> Iterator[Step]:
    """Yield the steps from the digest's cursor on: the shared body once, a recipient's own headers each."""
    if not digest.changes:
        # All of it was undone again: there is nothing to tell.
        yield Step(digest, digest.cursor, len(digest.recipients), last=True, body=b"", sender="", addressed=())
        return
    body = composer.body(digest) if digest.cursor == 0 else b""
    summary = composer.summary(digest, body) or b""
    total = len(digest.recipients)
    for before in range(digest.cursor, max(total, digest.cursor + 1), STEP):
        after = min(before + STEP, total)
        addressed = tuple(
            Addressed(one.fingerprint, one.address, composer.headers(digest, one), one.smtputf8)
            for one in digest.recipients[before:after]
        )
        yield Step(digest, before, after, after >= total, body, bounce_address, addressed, summary)
        body = summary = b""
