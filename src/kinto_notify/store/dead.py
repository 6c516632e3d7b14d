"""Dead letters: what will not be tried again, kept with its reason; bounded by age, number and bytes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from kinto_notify.digest import Line
from kinto_notify.store.client import Client, translated

#: Bounds of what is kept; the oldest go first. Stated in docs/operations.md.
MAX_DEAD = 10_000
MAX_BYTES = 256 * 1024 * 1024
MAX_AGE_MS = 30 * 86_400_000
#: How many one script removes, so that it stays short, and how many scripts one sweep may take: more letters than a
#: daemon can bury between two sweeps, and yet done within seconds.
_SWEEP = 200
_MOST_SCRIPTS = 100
_PAGE = 100
#: What a list shows: not the entry or the headers, which may be large.
_SHORT = ("kind", "reason", "when", "identity", "recipient", "attempts", "reply", "body")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `when` is in milliseconds; `fields` are the stored ones, decoded where they are text."""

    id: str
    kind: str
    reason: str
    when: int
    fields: dict[str, bytes]

    def text(self, name: str) -> str:
        """Return a stored field as text, empty if there is none."""
        return self.fields.get(name, b"").decode(errors="replace")


class DeadLetters:
    """The dead letters of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # How many there were when they were last weighed, and which was the newest: they change by no other way.
        self._weighed: tuple[int, list[str]] = (0, [])

    async def count(self) -> int:
        """Return how many there are."""
        async with translated():
            return int(await self._client.redis.zcard(self._client.key("dead")))

    async def newest(self, since: int = 0) -> AsyncIterator[DeadLetter]:
        """Yield those of a time (ms) and later, the newest first, each with what a list shows."""
        seen = 0
        while ids := await self._client.newest("dead", seen, seen + _PAGE):
            seen += len(ids)
            for ident, fields in zip(ids, await self._client.hashes("dead", ids, _SHORT), strict=True):
                if fields:
                    letter = _letter(ident, fields)
                    if letter.when < since:
                        return
                    yield letter

    async def get(self, ident: str) -> DeadLetter | None:
        """Return one with all that is stored of it, or None."""
        fields = await self._client.hash(f"dead:{ident}")
        return _letter(ident, fields) if fields else None

    async def lines(self, letter: DeadLetter) -> tuple[Line, ...]:
        """Return what the mail of a buried digest would list; empty for other kinds."""
        if letter.kind != "digest":
            return ()
        return tuple(map(Line.decode, await self._client.items(f"frozen-lines:{letter.id.removeprefix('digest-')}")))

    async def body(self, letter: DeadLetter) -> bytes | None:
        """Return the mail of a buried delivery, or None."""
        name = letter.text("body")
        shared = await self._client.field(f"body:{name}", "bytes")
        return letter.fields.get("headers", b"") + shared if name and shared is not None else None

    async def retry(self, ident: str) -> bool:
        """Try one again, as new; False if there is none."""
        told = await self._client.run("revive", self._client.key("dead"), [ident, self._client.stream])
        return told is not None

    async def drop(self, idents: Sequence[str]) -> int:
        """Remove the named ones for good; return how many there were."""
        told = await self._client.run("drop", self._client.key("dead"), [0, 0, 0, *idents]) if idents else 0
        assert isinstance(told, int)
        return told

    async def sweep(self, now: int, most_bytes: int = MAX_BYTES) -> int:
        """Remove what is past the bounds of age, number and bytes, the oldest first; return how many."""
        bounds = [max(now - MAX_AGE_MS, 1), MAX_DEAD, _SWEEP]
        removed = 0
        for _ in range(_MOST_SCRIPTS):
            told = await self._client.run("drop", self._client.key("dead"), bounds)
            assert isinstance(told, int)
            removed += told
            if told < _SWEEP:
                break
        state = (await self.count(), await self._client.newest("dead", 0, 1))
        if state != self._weighed:
            removed += await self._lighten(most_bytes)
            self._weighed = (await self.count(), state[1])
        return removed

    async def _lighten(self, left: int) -> int:
        """Remove all but the newest of `left` bytes together; return how many."""
        kept = removed = 0
        for _ in range(MAX_DEAD // _SWEEP + _MOST_SCRIPTS):
            told = await self._client.run("weigh", self._client.key("dead"), [kept, _SWEEP, left])
            assert isinstance(told, list)
            left, looked_at, surplus = told[0], told[1], told[2:]
            removed += await self.drop([ident.decode() for ident in surplus])
            kept += looked_at - len(surplus)
            if looked_at < _SWEEP:
                break
        return removed


def _letter(ident: str, fields: dict[str, bytes]) -> DeadLetter:
    return DeadLetter(
        id=ident,
        kind=fields.get("kind", b"").decode(),
        reason=fields.get("reason", b"").decode(errors="replace"),
        when=int(fields.get("when", b"0")),
        fields=fields,
    )
