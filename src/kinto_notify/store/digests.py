"""Digests: freezing what is due, and fanning it out into deliveries."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kinto_notify.address import Mailbox
from kinto_notify.digest import INTERVAL_GROWTH, DigestKey, FrozenDigest, Line
from kinto_notify.net import Merged, net
from kinto_notify.rate import Rate
from kinto_notify.store.client import Argument, Client, translated

#: A digest under lease is composed and fanned out in this time; a crash makes it due again after it.
LEASE_MS = 60_000
#: A lease brings no further digest once their lines have so many bytes: they are in memory at once, several times over.
LEASE_BUDGET_BYTES = 4 * 1024 * 1024
_COUNTER = "n:"
#: A list of recipients that is no longer than this is read once.
_FEW = 4_000


@dataclass(frozen=True, slots=True)
class Addressed:
    """What differs between the deliveries of a digest. `suffix` makes the delivery's id, stable over a repeat; it
    is the recipient's fingerprint, by which `store/recipients.py` knows what was said of the address.
    """

    suffix: str
    recipient: str
    headers: bytes
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """At most some hundreds of recipients of a frozen digest; `before` and `after` are the cursor's values.

    `body` and `summary` (empty if there is none) are stored with the first step and ignored in the others.
    """

    digest: FrozenDigest
    before: int
    after: int
    last: bool
    body: bytes
    sender: str
    addressed: tuple[Addressed, ...]
    summary: bytes = b""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frozen digest that somebody else has written into."""

    id: str
    fence: int


class Due(list[FrozenDigest]):
    """What a lease brought; beside the digests what cannot be read, and how many wait for a newer daemon."""

    def __init__(self, newer: int) -> None:
        super().__init__()
        self.newer = newer
        self.unreadable: list[Unreadable] = []


@dataclass(frozen=True, slots=True)
class Quotas:
    """How many mails of hooks a recipient may get, and a bucket may send; None: any number."""

    recipient: Rate | None = None
    bucket: Rate | None = None


class Digests:
    """The digests of one namespace.

    `over(identity, number, in_this_hour)` hears of each hook that made mails beyond the quotas: how many just now, and
    how many in this hour by all daemons.
    """

    def __init__(
        self,
        client: Client,
        quotas: Quotas | None = None,
        over: Callable[[str, int, int], None] = lambda identity, number, in_this_hour: None,
    ) -> None:
        self._client = client
        self._over = over
        rates = (quotas.recipient, quotas.bucket) if quotas is not None else (None, None)
        self._quotas = [part for one in rates for part in ((one.count, one.per_ms) if one is not None else (0, 0))]

    async def freeze(self, limit: int, fresh: int | None = None) -> Due:
        """Freeze what is due, at most `fresh` digests, and lease up to `limit` frozen ones; fewer where they are fat.

        A frozen digest is the same in every lease: what is filed after this opens a new one. What a newer version has
        stored in a form of another major is left to it.
        """
        arguments = [limit, LEASE_MS, INTERVAL_GROWTH, LEASE_BUDGET_BYTES, limit if fresh is None else fresh]
        told = await self._client.run("freeze", self._client.key("due"), arguments)
        assert isinstance(told, list)
        due = Due(told[1])
        for fid, fields, lines in told[2:]:
            try:
                due.append(_frozen(fid, fields, lines))
            except (KeyError, TypeError, ValueError):
                fence = dict(zip(fields[::2], fields[1::2], strict=True))[b"fence"]
                due.unreadable.append(Unreadable(fid.decode(), int(fence)))
        return due

    async def next_due(self) -> int | None:
        """Return the soonest due time of an open or frozen digest, in milliseconds, or None."""
        async with translated():
            pipe = self._client.redis.pipeline(transaction=False)
            for name in ("due", "frozen"):
                pipe.zrange(self._client.key(name), 0, 0, withscores=True)
            found = await pipe.execute()
        return min((int(score) for one in found for _, score in one), default=None)

    async def fan_out(self, steps: Sequence[Step]) -> int:
        """Turn steps into deliveries in one atomic call; return how many were made.

        What a hook makes beyond the quotas becomes dead letters, of one hook at most 100 in an hour.
        A step whose lease is lost, or that was done before, does nothing.
        """
        flat: list[Argument] = [*self._quotas, len(steps)]
        for step in steps:
            digest = step.digest
            flat += (digest.id, digest.fence, step.before, step.after, int(step.last))
            flat += (step.body, step.summary, digest.key.identity, digest.oldest, len(step.addressed))
            for one in step.addressed:
                flat += (one.suffix, step.sender, one.recipient, one.headers, int(one.smtputf8))
        told = await self._client.run("fan_out", self._client.key("deliveries"), flat)
        assert isinstance(told, list)
        for identity, number, in_this_hour in told[1:]:
            self._over(identity.decode(), number, in_this_hour)
        return int(told[0])

    async def bury(self, digest: FrozenDigest | Unreadable, reason: str) -> None:
        """Make a dead letter of a digest that cannot be composed, unless the lease is lost."""
        await self._client.run("bury", self._client.key("dead"), [digest.id, digest.fence, reason])


def _frozen(fid: bytes, flat: Sequence[bytes], lines: Sequence[bytes]) -> FrozenDigest:
    """Read a frozen digest's hash and its lines."""
    fields = {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}
    key = DigestKey(
        identity=fields["identity"],
        text=fields["text"],
        group=tuple(map(tuple, json.loads(fields["group"]))),
        audience=fields["audience"],
    )
    counts = {name[len(_COUNTER) :]: int(n) for name, n in fields.items() if name.startswith(_COUNTER)}
    if "collapse" in fields:
        merged = [Merged(*_parted(line)) for line in lines]
        told, left = net(merged)
        counts = counts if "raw" in fields else left
    else:
        told = tuple(Line.decode(line.decode()) for line in lines)
    return FrozenDigest(
        id=fid.decode(),
        key=key,
        recipients=_few(stored) if len(stored := fields["recipients"]) <= _FEW else _boxes(stored),
        counts=counts,
        lines=told[: int(fields["collapse"])] if "collapse" in fields else told,
        first=int(fields["first"]),
        oldest=int(fields.get("oldest", fields["first"])),
        frozen=int(fields["frozen"]),
        due=int(float(fields.get("due", "0"))),
        cursor=int(fields["cursor"]),
        fence=int(fields["fence"]),
        collapse="" if "collapse" not in fields else "raw" if "raw" in fields else "net",
    )


def _boxes(stored: str) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(name, address) for name, address in json.loads(stored))


@lru_cache(256)  # one mail for each change has the same recipients over and over
def _few(stored: str) -> tuple[Mailbox, ...]:
    return _boxes(stored)


def _parted(line: bytes) -> tuple[str, Line]:
    """Part what `file.lua` keeps of an object: the action of its first change, and the merged line."""
    first, _, rest = line.decode().partition(" ")
    return first, Line.decode(rest)
