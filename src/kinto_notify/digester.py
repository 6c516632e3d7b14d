"""Digester: due digest → one rendered message per recipient → deliveries.

In: digests that are due, frozen under a lease. Out: deliveries, made in atomic steps of at most 500 with a stored
cursor: a crash resumes where it stopped. A digest that cannot be composed becomes a dead letter with its reason.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from kinto_notify.compose.composer import Composer
from kinto_notify.digest import FrozenDigest
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.telemetry import Telemetry

#: Deliveries to a script, so that it stays under some milliseconds.
STEP = 500
#: Digests to a lease: their lines are in memory at once.
BATCH = 64


class Digester:
    """The room that composes. `ready` is called when there are new deliveries."""

    def __init__(
        self,
        digests: Digests,
        composer: Callable[[], Composer],
        telemetry: Telemetry,
        *,
        bounce_address: str,
        ready: Callable[[], None],
    ) -> None:
        self._digests = digests
        self._composer = composer
        self._telemetry = telemetry
        self._bounce_address = bounce_address
        self._ready = ready

    async def work(self) -> int:
        """Compose what is due, up to a batch; return how many digests it had."""
        digests = await self._digests.freeze(BATCH)
        steps: list[Step] = []
        for digest in digests:
            # A large mail takes 50 ms: sessions and signals must not wait for all of them.
            await asyncio.sleep(0)
            try:
                made = list(steps_of(digest, self._composer(), self._bounce_address))
            except Exception as fault:  # noqa: BLE001 - one digest that cannot be composed harms no other
                reason = f"cannot be composed: {type(fault).__name__}"
                await self._digests.bury(digest, reason)
                self._telemetry.digest_buried(digest, reason)
                continue
            for step in made:
                if steps and sum(len(one.addressed) for one in steps) + len(step.addressed) > STEP:
                    await self._fan_out(steps)
                    steps = []
                steps.append(step)
        if steps:
            await self._fan_out(steps)
        return len(digests)

    async def _fan_out(self, steps: Sequence[Step]) -> None:
        if await self._digests.fan_out(steps):
            self._ready()
        for step in steps:
            if step.last:
                self._telemetry.composed(step.digest, len(step.digest.recipients))


def steps_of(digest: FrozenDigest, composer: Composer, bounce_address: str) -> Iterator[Step]:
    """Yield the steps from the digest's cursor on: the shared body once, a recipient's own headers each."""
    body = composer.body(digest) if digest.cursor == 0 else b""
    total = len(digest.recipients)
    for before in range(digest.cursor, max(total, digest.cursor + 1), STEP):
        after = min(before + STEP, total)
        addressed = tuple(
            Addressed(one.fingerprint, one.address, composer.headers(digest, one), one.smtputf8)
            for one in digest.recipients[before:after]
        )
        yield Step(digest, before, after, after >= total, body, bounce_address, addressed)
        body = b""
