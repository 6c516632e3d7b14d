"""Deliveries: leasing what is due, renewing, settling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from kinto_notify.delivery import Delivery
from kinto_notify.rate import Rate
from kinto_notify.store.client import Argument, Client, translated

#: How long a delivery is ours. Renewed while a dot is pending; a crash makes it due again after it.
LEASE_MS = 60_000
#: How long the rate waits for a mail of which nothing is heard: what a dead daemon took of it comes back after so long.
#: A daemon renews three times within it.
PERMIT_MS = 15_000


#: Whose body it is, and whether its summary is meant.
BodyName = tuple[str, bool]


class Fate(Enum):
    """What becomes of a delivery."""

    SENT = "sent"
    DEFERRED = "deferred"
    #: Too big for the relay: due again as its summary.
    SUMMARISED = "summarised"
    REFUSED = "refused"
    #: Refused, since nobody has this address: the second time its recipient is suppressed.
    UNKNOWN = "unknown"
    #: Given back untried: the relay was at fault, or we are draining. It costs no attempt.
    RETURNED = "returned"
    #: Its recipient wants none of these now: it goes, and nothing is kept of it.
    UNWANTED = "unwanted"
    #: The relay says that mails come too fast: as returned, and the rate that all daemons share goes down.
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a lease: `delay` in milliseconds until the next one (deferred, returned), `reply` as it was told."""

    id: str
    fence: int
    fate: Fate
    delay: int = 0
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Leased:
    """Deliveries under lease until `now + LEASE_MS`; `now` is Redis `TIME`.

    `wait`: there is more, but the rate lets none go for about so many milliseconds. `sure`: for how long (ms, from
    before the lease was asked for) one of these may be handed over, and after each renewal again. `learned`: the rate
    (mails a second) that a throttling relay taught us, None while there is none.
    """

    now: int
    deliveries: tuple[Delivery, ...]
    wait: int = 0
    sure: int = LEASE_MS
    learned: float | None = None


class Deliveries:
    """The deliveries of one namespace. `rate` is the same in all its daemons; one that was learned comes on top."""

    def __init__(self, client: Client, rate: Rate | None = None) -> None:
        self._client = client
        self._rate = (rate.window.count, rate.window.per_ms) if rate is not None else (0, 0)

    async def lease(self, limit: int) -> Leased:
        """Lease up to `limit` due deliveries, no more than the rate lets go now."""
        arguments = [limit, LEASE_MS, *self._rate, PERMIT_MS]
        told = await self._client.run("lease", self._client.key("deliveries"), arguments)
        assert isinstance(told, list)
        now, wait, limited, learned, *found = told
        sure = PERMIT_MS if limited else LEASE_MS
        taught = float(learned) if learned else None
        return Leased(int(now), tuple(map(_delivery, found)), int(wait), sure, taught)

    async def bodies(self, names: Sequence[BodyName]) -> Mapping[BodyName, bytes]:
        """Return the shared bodies by name; one that is gone (its deliveries are settled) is left out."""
        async with translated():
            pipe = self._client.redis.pipeline(transaction=False)
            for name, summary in names:
                pipe.hget(self._client.key(f"body:{name}"), "summary" if summary else "bytes")
            found = await pipe.execute()
        return {name: body for name, body in zip(names, found, strict=True) if body is not None}

    async def renew(self, held: Mapping[str, int]) -> list[str]:
        """Renew leases given as id → fence; return the ids that are no longer ours."""
        flat: list[Argument] = [LEASE_MS, PERMIT_MS]
        for ident, fence in held.items():
            flat += (ident, fence)
        told = await self._client.run("renew", self._client.key("deliveries"), flat)
        assert isinstance(told, list)
        return [ident.decode() for ident in told]

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        """Settle in one atomic call; return how many. One with an old fence is passed over, unless it says sent."""
        flat: list[Argument] = [*self._rate]
        for one in settlements:
            flat += (one.id, one.fence, one.fate.value, one.delay, one.reply)
        told = await self._client.run("settle", self._client.key("deliveries"), flat)
        assert isinstance(told, int)
        return told

    async def next_due(self) -> int | None:
        """Return the soonest due time (or end of a lease), in milliseconds, or None."""
        async with translated():
            found = await self._client.redis.zrange(self._client.key("deliveries"), 0, 0, withscores=True)
        return int(found[0][1]) if found else None

    async def due_within(self, delay: int) -> bool:
        """Tell whether any delivery is due, or its lease ends, within so many milliseconds."""
        until = await self._client.time() + delay
        async with translated():
            return bool(await self._client.redis.zcount(self._client.key("deliveries"), "-inf", until))


def _delivery(told: Sequence[bytes]) -> Delivery:
    ident, fence, attempts, sender, recipient, headers, body, first, *more = told
    identity, smtputf8, oldest, short, suppressed, unwanted, own = more
    return Delivery(
        id=ident.decode(),
        fence=int(fence),
        attempts=int(attempts),
        sender=sender.decode(),
        recipient=recipient.decode(),
        headers=headers,
        body=body.decode(),
        first=int(first),
        identity=identity.decode(),
        smtputf8=smtputf8 == b"1",
        oldest=int(oldest or first),
        shorter=short == b"0",
        summary=short == b"1",
        suppressed=suppressed.decode(errors="replace") or None,
        unwanted=unwanted.decode() or None,
        own_body=own or None,
    )
