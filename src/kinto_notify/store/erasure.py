"""Erasure: forget one address, wherever Redis names it as a recipient.

In: an address. Out: what was removed. What waits for it is not sent any more; digests go to the others, or end as
nobody's. Raises `TryLater` while a digest names it that cannot be changed: one that is becoming mails, or is a dead
letter. What others wrote about a person is content, not an address: see docs/operations.md.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from kinto_notify.address import Mailbox
from kinto_notify.errors import TryLater
from kinto_notify.store.client import Client, translated
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.preferences import Preferences
from kinto_notify.store.recipients import Recipients
from kinto_notify.store.remarks import Remarks
from kinto_notify.store.trail import Trail

#: Members to a step, so that a script stays short.
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Erased:
    """How many deliveries and dead letters were removed, and of how many digests the address was a recipient."""

    deliveries: int
    dead_letters: int
    digests: int


class Erasure:
    """Forgets addresses in one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._dead = DeadLetters(client)

    async def erase(self, mailbox: Mailbox) -> Erased:
        """Forget an address; may be repeated. `TryLater` says what still names it, when the rest is done."""
        # First what mails and dead letters come of.
        digests = 0
        while named := [one async for one in self._open(mailbox)]:
            # One that was filed into between our reading and our writing is looked at again.
            for start in range(0, len(named), _BATCH):
                digests += (await self._run([], named[start : start + _BATCH]))[1]
        deliveries = 0
        async for idents in self._members("deliveries", f"*:{mailbox.fingerprint}"):
            deliveries += (await self._run(idents, []))[0]
        own = [one.id async for one in self._dead.newest() if one.text("recipient").casefold() == mailbox.key]
        dropped = 0
        for start in range(0, len(own), _BATCH):
            dropped += await self._dead.drop(own[start : start + _BATCH])
        await Recipients(self._client).resubscribe(mailbox)
        await Preferences(self._client).forget(mailbox.fingerprint)
        await Trail(self._client).forget(mailbox.fingerprint)
        await Remarks(self._client).forget(mailbox)
        await self._look(mailbox)
        return Erased(deliveries, dropped, digests)

    async def _look(self, mailbox: Mailbox) -> None:
        """Raise where a digest that cannot be changed names the address: its fan-out counts the recipients."""
        frozen = [ident async for ident, _, _ in self._naming(mailbox, "frozen", "frozen")]
        if frozen:
            raise TryLater(f"a digest for {mailbox.address} is becoming mails at this moment; erase it again")
        buried = [ident async for ident, _, _ in self._naming(mailbox, "dead", "dead")]
        if buried:
            raise TryLater(
                f"{mailbox.address} is still named, with others, in the dead letters {', '.join(buried)}: "
                "'dead-letters retry' or 'drop' them, then erase it again"
            )

    async def _open(self, mailbox: Mailbox) -> AsyncIterator[tuple[str, str, str]]:
        """Yield the open digests that name the address: id, recipients as stored, recipients without it."""
        async for ident, stored, boxes in self._naming(mailbox, "due", "digest"):
            left = [[box.name, box.address] for box in boxes if box.key != mailbox.key]
            yield ident, stored, json.dumps(left, ensure_ascii=False) if left else ""

    async def _naming(
        self, mailbox: Mailbox, index: str, kind: str
    ) -> AsyncIterator[tuple[str, str, tuple[Mailbox, ...]]]:
        """Yield the digests of a kind that name the address: id, recipients as stored, recipients."""
        async for idents in self._members(index):
            rows = await self._client.hashes(kind, idents, ("recipients",))
            for ident, row in zip(idents, rows, strict=True):
                stored = row.get("recipients", b"[]").decode()
                boxes = tuple(Mailbox(*one) for one in json.loads(stored))
                if any(box.key == mailbox.key for box in boxes):
                    yield ident, stored, boxes

    async def _members(self, index: str, match: str | None = None) -> AsyncIterator[list[str]]:
        """Yield the members of a sorted set, some at a time; those that stay all along are all among them."""
        cursor = 0
        while True:
            async with translated():
                cursor, page = await self._client.redis.zscan(self._client.key(index), cursor, match, count=_BATCH)
            if page:
                # redis-py's types allow for decoded text, which our connection never asks for.
                yield [cast(bytes, ident).decode() for ident, _ in page]
            if not cursor:
                return

    async def _run(self, deliveries: list[str], digests: list[tuple[str, str, str]]) -> tuple[int, int]:
        arguments = [str(len(deliveries)), *deliveries, *(text for one in digests for text in one)]
        told = await self._client.run("erase", self._client.key("deliveries"), arguments)
        assert isinstance(told, list)
        return int(told[0]), int(told[1])
