"""Courier: leased delivery → one attempt → settled.

In: due deliveries, leased only as many as the pool has room for now. Out: settlements through the ledger. A fault of
the relay itself costs a delivery no attempt: it is returned, and the courier waits until the pool lets a relay be
tried.
"""

import asyncio
import random
import time
from dataclasses import replace

from kinto_notify.compose.headers import for_summary
from kinto_notify.compose.slot import filled
from kinto_notify.delivery import (
    AMBIGUOUS_DELAY_MS,
    Deferred,
    Delivery,
    Envelope,
    Outcome,
    Refused,
    Reply,
    RetryPolicy,
    Sent,
    retry_delay,
    too_old,
)
from kinto_notify.errors import NoSession, RelayFault
from kinto_notify.last_look import Withheld, last_look
from kinto_notify.ledger import Ledger
from kinto_notify.patience import IDLE_S, wait_for, wait_for_any
from kinto_notify.smtp.pool import Pool
from kinto_notify.store.deliveries import LEASE_MS, BodyName, Deliveries, Fate, Settlement
from kinto_notify.telemetry import Telemetry

#: A delivery that the relay's own fault gave back rests so long, so that a daemon that reaches the relay may take it.
RETURN_DELAY_MS = 1_000
#: One that came too fast for the relay may be tried again so soon: what spares the relay is the lowered rate.
THROTTLED_LEAST_MS = 5_000
#: Bodies of digests whose deliveries are under way; shared ones are fetched once.
_CACHED_BODIES = 64


class Stopped(Exception):
    """The last look withholds a message that was about to be handed over."""

    def __init__(self, withheld: Withheld) -> None:
        super().__init__(withheld.reason)
        self.withheld = withheld


class Courier:
    """The room that sends. `woken` is set when there are new deliveries."""

    def __init__(
        self,
        deliveries: Deliveries,
        pool: Pool,
        ledger: Ledger,
        telemetry: Telemetry,
        *,
        policy: RetryPolicy,
    ) -> None:
        self._deliveries = deliveries
        self._pool = pool
        self._ledger = ledger
        self._telemetry = telemetry
        self._policy = policy
        self._bodies: dict[BodyName, bytes] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        pool.roomier = self._freed.set
        self.woken = asyncio.Event()
        #: How long the rate keeps what is due waiting, by the last lease; 0 while it does not.
        self.rest_s = 0.0

    @property
    def busy(self) -> int:
        """How many attempts are under way."""
        return len(self._attempts)

    async def blocked(self) -> bool:
        """Tell whether the relay is down and a delivery is at hand that will find out when it is back.

        Without one nobody would ever find out.
        """
        return self._pool.fault is not None and await self._deliveries.due_within(LEASE_MS)

    async def step(self, stop: asyncio.Event) -> None:
        """Start what the pool has room for; waits up to a second for work, for a session, or for the relay."""
        if self._pool.fault is not None:
            await self._until_relay_may_be_tried()
        elif not self._room():
            await self.wait_for_one(stop)
        else:
            self.woken.clear()
            if not await self.start():
                await wait_for_any((self.woken, stop), min(self.rest_s or IDLE_S, IDLE_S))

    async def _until_relay_may_be_tried(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self._pool.ready()
            # One delivery finds out; the others wait for what it says. One that stalls elsewhere is not waited for.
            await self.start(limit=1)
            await wait_for(self._freed, IDLE_S)
            self._freed.clear()
        except TimeoutError:
            pass

    async def start(self, limit: int | None = None) -> int:
        """Lease up to `limit` deliveries (no more than the pool has room for) and start their attempts."""
        room = self._room() if limit is None else min(self._room(), limit)
        if room <= 0:
            return 0
        since = time.monotonic()
        leased = await self._deliveries.lease(room)
        self.rest_s = leased.wait / 1000
        self._telemetry.learned_rate(leased.learned)
        self._ledger.hold(leased.deliveries, since, leased.sure)
        try:
            bodies = await self._fetch(leased.deliveries)
        except BaseException:
            for delivery in leased.deliveries:
                self._ledger.settle(Settlement(delivery.id, delivery.fence, Fate.RETURNED))
            raise
        for delivery in leased.deliveries:
            age = leased.now - delivery.first
            body = delivery.own_body or bodies.get(_body_name(delivery))
            task = asyncio.create_task(self._attempt(delivery, body, age, since))
            self._attempts.add(task)
            task.add_done_callback(self._ended)
        # Let the attempts take their sessions, so that the pool knows what is left for the next lease.
        await asyncio.sleep(0)
        return len(leased.deliveries)

    def _room(self) -> int:
        """Return how many attempts may begin: the pool is done with one some turns before the attempt has ended."""
        return self._pool.room(self.busy)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        self._freed.set()

    async def _fetch(self, deliveries: tuple[Delivery, ...]) -> dict[BodyName, bytes]:
        """Return the bodies that these deliveries share with others, from memory where we have them."""
        wanted = dict.fromkeys(_body_name(delivery) for delivery in deliveries if delivery.own_body is None)
        missing = [name for name in wanted if name not in self._bodies]
        if missing:
            self._bodies.update(await self._deliveries.bodies(missing))
        found = {name: self._bodies[name] for name in wanted if name in self._bodies}
        while len(self._bodies) > _CACHED_BODIES:
            del self._bodies[next(iter(self._bodies))]
        return found

    async def _attempt(self, delivery: Delivery, body: bytes | None, age: int, since: float) -> None:
        """Make one attempt and settle it."""
        handed_over = False

        def look() -> None:
            ours = self._ledger.ours(delivery)
            if withheld := last_look(delivery, ours=ours, body=body is not None):
                raise Stopped(withheld)

        def just_before_the_body() -> None:
            nonlocal handed_over
            look()
            handed_over = True

        try:
            head = for_summary(delivery.headers) if delivery.summary else delivery.headers
            message = filled(head, body or b"", delivery.body)
            envelope = Envelope(delivery.sender, delivery.recipient, message, delivery.smtputf8)
            # No session for what goes nowhere: relays think ill of those who ask for unknown addresses again and again.
            outcome = await self._pool.send(envelope, just_before_the_body, before_mail=look, impatient=True)
        except Stopped as stopped:
            self._withhold(delivery, stopped.withheld)
        except NoSession:
            self._ledger.settle(Settlement(delivery.id, delivery.fence, Fate.RETURNED))
        except RelayFault as fault:
            self._telemetry.relay_down(str(fault))
            self._telemetry.returned(delivery, str(fault))
            self._ledger.settle(returned(delivery, fault, age, self._policy))
        except asyncio.CancelledError:
            self._ledger.settle(cut_off(delivery, handed_over))
            raise
        except Exception as fault:  # noqa: BLE001 - one bad delivery harms no other, and must not stay leased for ever
            self._telemetry.attempt_failed(delivery, fault)
            self._ledger.settle(settle(delivery, unforeseen(fault, handed_over), age, self._policy, random.random()))  # noqa: S311
        else:
            self._conclude(delivery, outcome, age + int((time.monotonic() - since) * 1000))

    def _withhold(self, delivery: Delivery, withheld: Withheld) -> None:
        """Nothing was sent: let it go, bury it, or let it be due again, perhaps elsewhere."""
        if withheld.wished:
            self._telemetry.unwanted(delivery, withheld.reason)
            self._ledger.settle(Settlement(delivery.id, delivery.fence, Fate.UNWANTED, 0, withheld.reason))
        elif withheld.for_good:
            self._telemetry.withheld(delivery, withheld.reason)
            self._ledger.settle(Settlement(delivery.id, delivery.fence, Fate.REFUSED, 0, withheld.reason))
        else:
            self._ledger.drop(delivery)
            self._telemetry.lease_lost([delivery.id])

    def _conclude(self, delivery: Delivery, outcome: Outcome, age: int) -> None:
        self._telemetry.relay_back()
        settlement = settle(delivery, outcome, age, self._policy, random.random())  # noqa: S311 - jitter
        if settlement.fate is Fate.SUMMARISED:
            self._telemetry.summarised(delivery, settlement.reply)
        else:
            self._telemetry.attempt(delivery, outcome, age)
        if settlement.fate is Fate.REFUSED and not isinstance(outcome, Refused):
            self._telemetry.gave_up(delivery, age)
        self._ledger.settle(settlement)

    async def drain(self, timeout_s: float) -> bool:
        """Let what is in hand finish, at most so long, then cut it off; tell whether all finished."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=timeout_s)
        cut = list(self._attempts)
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        return not cut

    async def wait_for_one(self, stop: asyncio.Event) -> None:
        """Wait until an attempt under way ends, about a second at most."""
        self._freed.clear()
        await wait_for_any((self._freed, stop), IDLE_S)


def _body_name(delivery: Delivery) -> BodyName:
    return delivery.body, delivery.summary


def settle(delivery: Delivery, outcome: Outcome, age: int, policy: RetryPolicy, jitter: float) -> Settlement:
    """Decide what an outcome means for a delivery of this age (ms). Pure."""
    reply = str(outcome.reply)
    match outcome:
        case Sent():
            return Settlement(delivery.id, delivery.fence, Fate.SENT, 0, reply)
        case Refused() if outcome.too_big and delivery.shorter:
            return Settlement(delivery.id, delivery.fence, Fate.SUMMARISED, 0, reply)
        case Refused():
            fate = Fate.UNKNOWN if outcome.unknown_mailbox else Fate.REFUSED
            return Settlement(delivery.id, delivery.fence, fate, 0, reply)
        case Deferred():
            if too_old(policy, age):
                reason = f"given up after {age // 1000} s; last reply: {reply}"
                return Settlement(delivery.id, delivery.fence, Fate.REFUSED, 0, reason)
            if outcome.throttled:
                soon = replace(policy, least=min(policy.least, THROTTLED_LEAST_MS))
                delay = max(retry_delay(soon, age, jitter), outcome.not_before)
                return Settlement(delivery.id, delivery.fence, Fate.THROTTLED, delay, reply)
            delay = max(retry_delay(policy, age, jitter), outcome.not_before)
            return Settlement(delivery.id, delivery.fence, Fate.DEFERRED, delay, reply)


def unforeseen(fault: Exception, handed_over: bool) -> Deferred:
    """Decide what a bug in an attempt means: it is tried again, at last buried; ambiguous once the body went out."""
    reply = Reply(0, f"cannot be handled: {type(fault).__name__}", "sending")
    return Deferred(reply, AMBIGUOUS_DELAY_MS if handed_over else 0, ambiguous=handed_over)


def returned(delivery: Delivery, fault: RelayFault, age: int, policy: RetryPolicy) -> Settlement:
    """Decide about a delivery that the relay's own fault gave back: it rests a moment, and is kept until too old."""
    if too_old(policy, age):
        told = f"given up after {age // 1000} s; the relay: {fault}"
        return Settlement(delivery.id, delivery.fence, Fate.REFUSED, 0, told)
    fate = Fate.THROTTLED if fault.throttled else Fate.RETURNED
    return Settlement(delivery.id, delivery.fence, fate, RETURN_DELAY_MS, str(fault))


def cut_off(delivery: Delivery, handed_over: bool) -> Settlement:
    """Decide about a delivery whose attempt the end of the drain cut off: it is ambiguous once the body went out."""
    if handed_over:
        told = "the drain ended before the reply to the dot"
        return Settlement(delivery.id, delivery.fence, Fate.DEFERRED, AMBIGUOUS_DELAY_MS, told)
    return Settlement(delivery.id, delivery.fence, Fate.RETURNED)
