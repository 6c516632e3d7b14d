"""Remarks: what is wrong with hooks, or was refused of them; the newest, for `check` and `status`.

In: what a daemon noted. Out: each thing once, with when a daemon noted it last. Bounded by age and number. Details may
hold addresses, so a person who is erased is taken out of them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from kinto_notify.address import Mailbox
from kinto_notify.hook_book import Remark
from kinto_notify.store.client import Client, translated

#: Bounds of what is kept; the oldest go first. Stated in docs/operations.md.
MAX_REMARKS = 1_000
MAX_AGE_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Noted:
    """A remark, and when it was noted last, in milliseconds. `hook` is the home and the name of one."""

    hook: str
    kind: str
    detail: str
    when: int


class Remarks:
    """The remarks of one namespace, by all its daemons."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def note(self, remarks: Sequence[Remark]) -> None:
        """Keep these; one that is known already becomes the newest."""
        if not remarks:
            return
        now = await self._client.time()
        key = self._client.key("remarks")
        async with translated():
            pipe = self._client.redis.pipeline(transaction=True)
            pipe.zadd(key, {_text(one): now for one in remarks})
            pipe.zremrangebyrank(key, 0, -MAX_REMARKS - 1)
            pipe.zremrangebyscore(key, "-inf", now - MAX_AGE_MS)
            pipe.pexpire(key, MAX_AGE_MS)
            await pipe.execute()

    async def newest(self) -> list[Noted]:
        """Return all that are kept, the newest first."""
        now = await self._client.time()
        async with translated():
            told = await self._client.redis.zrevrangebyscore(
                self._client.key("remarks"), "+inf", now - MAX_AGE_MS, withscores=True
            )
        # redis-py's types allow for decoded text, which our connection never asks for.
        return [_noted(text, when) for text, when in cast(list[tuple[bytes, float]], told)]

    async def forget(self, mailbox: Mailbox) -> None:
        """Remove what names an address."""
        key = self._client.key("remarks")
        async with translated():
            members = cast(list[bytes], await self._client.redis.zrange(key, 0, -1))
            naming = [one for one in members if mailbox.key in one.decode().casefold()]
            if naming:
                await self._client.redis.zrem(key, *naming)


def _noted(text: bytes, when: float) -> Noted:
    hook, kind, detail = json.loads(text)
    return Noted(hook, kind, detail, int(when))


def _text(one: Remark) -> str:
    return json.dumps([one.identity, one.kind, one.detail], ensure_ascii=False)
