"""The trail: where the last events went, for `explain`. Event → digests → mails → what became of each.

In: an event's id. Out: what Redis still knows of its way; about 20,000 events and as many mails, of a day at most. What
is told is true at the moment of asking. Fails with `StoreUnavailable`.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from kinto_notify.store.client import Client, translated
from kinto_notify.store.pauses import PARKED_MS
from kinto_notify.wire import FIELD_EVENT, id_time

#: Older steps are forgotten; where nothing happens any more, all of it an hour later.
KEEP_MS = 86_400_000
_PAGE = 1_000
#: Kinto's host and Redis may differ by so much.
_CLOCKS_MS = 3_600_000
#: Mails of one digest that are looked up; a digest may have 100,000.
MOST_MAILS = 100
_Steps = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Mail:
    """A delivery: `state` is sent, unwanted, waiting or dead; `at` (ms) when that was, or when it is due."""

    id: str
    state: str
    at: int
    recipient: str = ""
    attempts: int = 0
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """Where a digest is: open, paused, composing, dead or mailed, or gone; `at` when it is due, or was frozen (ms)."""

    id: str
    identity: str
    state: str
    at: int
    reason: str = ""
    mails: tuple[Mail, ...] = ()


@dataclass(frozen=True, slots=True)
class Traced:
    """An event that was filed `at` (ms), into `number` digests, of which at most some are named."""

    at: int
    number: int
    digests: tuple[Gone, ...]


class Trail:
    """The trail of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def trim(self, now: int) -> None:
        """Forget what is older than a day."""
        async with translated():
            for name in ("trail", "outcomes"):
                await self._client.redis.xtrim(self._client.key(name), minid=f"{max(now - KEEP_MS, 0)}-0")

    async def forget(self, fingerprint: str) -> int:
        """Forget the mails to one recipient: a relay's reply may name the address. Return how many there were."""
        own = f":{fingerprint}".encode()
        idents = [ident async for ident, step in self._steps("outcomes", "-") if step[b"d"].endswith(own)]
        async with translated():
            for start in range(0, len(idents), _PAGE):
                await self._client.redis.xdel(self._client.key("outcomes"), *idents[start : start + _PAGE])
        return len(idents)

    async def find(self, event: str) -> Traced | None:
        """Follow an event; None if it is not known, or not any more."""
        at, number, digests = 0, 0, dict[str, tuple[str, str, int]]()
        async for ident, step in self._steps("trail", "-"):
            name = step.get(b"d", b"").decode()
            if step.get(b"e") == event.encode():
                at, number = _moment(ident), int(step[b"n"])
                digests = dict.fromkeys(name.split(), ("", "", 0))
            elif name in digests and not digests[name][0]:
                digests[name] = (step[b"f"].decode(), step[b"i"].decode(), _moment(ident))
        if not at:
            return None
        gone = [
            await self._frozen(fid, identity, frozen) if fid else await self._open(name)
            for name, (fid, identity, frozen) in digests.items()
        ]
        return Traced(at, number, tuple(gone))

    async def entry(self, event: str) -> str | None:
        """Return the body of an event that is in the stream, by its id; reads the stream from about its time on."""
        made = id_time(event)
        start = "-" if made is None else str(max(made - _CLOCKS_MS, 0))
        sought = event.encode()
        async for _, fields in self._steps("events", start):
            body = fields.get(FIELD_EVENT.encode(), b"")
            if sought in body and _id_of(body) == event:
                return body.decode(errors="replace")
        return None

    async def newest(self, count: int) -> list[str]:
        """Return the bodies of the last entries of the stream, the oldest of them first."""
        async with translated():
            told = await self._client.redis.xrevrange(self._client.stream, count=count)
        return [step.get(FIELD_EVENT.encode(), b"").decode(errors="replace") for _, step in cast(_Steps, told)][::-1]

    async def _steps(self, name: str, start: str) -> AsyncIterator[tuple[bytes, Mapping[bytes, bytes]]]:
        while True:
            async with translated():
                told = await self._client.redis.xrange(self._client.key(name), min=start, count=_PAGE)
            steps = cast(_Steps, told)
            for one in steps:
                yield one
            if len(steps) < _PAGE:
                return
            start = f"({steps[-1][0].decode()}"

    async def _open(self, name: str) -> Gone:
        identity = await self._client.field(f"digest:{name}", "identity")
        async with translated():
            due = await self._client.redis.zscore(self._client.key("due"), name)
        if identity is None or due is None:
            return Gone(name, "", "gone", 0)
        parked = due >= PARKED_MS
        return Gone(name, identity.decode(), "paused" if parked else "open", int(due - PARKED_MS if parked else due))

    async def _frozen(self, fid: str, identity: str, frozen: int) -> Gone:
        dead = await self._client.hash(f"dead:digest-{fid}")
        if dead:
            return Gone(fid, identity, "dead", int(dead["when"]), dead["reason"].decode(errors="replace"))
        mails = await self._mails(fid, frozen)
        async with translated():
            composing = await self._client.redis.exists(self._client.key(f"frozen:{fid}"))
        return Gone(fid, identity, "composing" if composing else "mailed", frozen, mails=tuple(mails))

    async def _mails(self, fid: str, frozen: int) -> list[Mail]:
        """Return what became of the deliveries of a digest."""
        found: list[Mail] = []
        async for ident, step in self._steps("outcomes", str(frozen)):
            if step[b"d"].startswith(fid.encode()) and len(found) < MOST_MAILS:
                state, told = ("unwanted", step[b"u"]) if b"u" in step else ("sent", step[b"r"])
                reply = told.decode(errors="replace")
                found.append(Mail(step[b"d"].decode(), state, _moment(ident), reply=reply))
        for kind, zset, state in (("delivery", "deliveries", "waiting"), ("dead", "dead", "dead")):
            found += await self._of_zset(kind, zset, state, fid, MOST_MAILS - len(found))
        return found

    async def _of_zset(self, kind: str, zset: str, state: str, fid: str, most: int) -> list[Mail]:
        async with translated():
            scan = self._client.redis.zscan_iter(self._client.key(zset), match=f"{fid}:*", count=_PAGE)
            found = [(ident.decode(), int(score)) async for ident, score in scan][:most]
        fields: Sequence[str] = ("recipient", "attempts", "reply", "reason")
        rows = await self._client.hashes(kind, [ident for ident, _ in found], fields)
        return [
            Mail(
                ident,
                state,
                at,
                row.get("recipient", b"").decode(),
                int(row.get("attempts", b"0")),
                row.get("reason", row.get("reply", b"")).decode(errors="replace"),
            )
            for (ident, at), row in zip(found, rows, strict=True)
        ]


def _id_of(body: bytes) -> object:
    """Return the id that an event's JSON names; None where it is none."""
    try:
        return cast(dict[str, object], json.loads(body))["id"]
    except (ValueError, KeyError, TypeError):
        return None


def _moment(ident: bytes) -> int:
    return int(ident.partition(b"-")[0])
