"""Pauses: subscriptions whose digests gather and do not become due, until an operator resumes them.

In: identities of subscriptions, or `EVERY` for all. A pause stands in Redis: every daemon honours it from its next
script on, and it survives restarts. Digests that were put off keep the due time they had, far in the future, so that
what is paused costs nothing. Fails with `StoreUnavailable`; every call may be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kinto_notify.store.client import Client, translated

#: All subscriptions, those that are not written yet among them.
EVERY = "*"
#: The scripts put a due time off by so many milliseconds (three thousand years); they hold the same number.
PARKED_MS = 10**14
#: Stands among the pauses while digests get their due times back. No identity, for want of a `#`.
_RESUMING = "resuming"
#: Digests that one script looks at, so that it stays under some milliseconds.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush found open."""

    digests: int = 0
    changes: int = 0


class Pauses:
    """The pauses of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> Mapping[str, int]:
        """Return what is paused: identity (or `EVERY`) and since when, in milliseconds."""
        found = await self._client.hash("paused")
        return {name: int(since) for name, since in sorted(found.items()) if name != _RESUMING}

    async def pause(self, identity: str) -> bool:
        """Pause one subscription, or `EVERY`; False if it was paused already."""
        now = await self._client.time()
        async with translated():
            return bool(await self._client.redis.hsetnx(self._client.key("paused"), identity, str(now)))

    async def resume(self, identity: str) -> int:
        """End the pause of one subscription (`EVERY`: all pauses); return how many pauses ended.

        What was put off gets its old due time back, which is past: a mail for each open digest, with true totals.
        """
        names = list(await self.all()) if identity == EVERY else [identity]
        key, now = self._client.key("paused"), await self._client.time()
        async with translated():
            pipe = self._client.redis.pipeline(transaction=True)
            pipe.hset(key, _RESUMING, str(now))
            pipe.hdel(key, *(names or [EVERY]))
            _, ended = await pipe.execute()
        await self._give_back()
        return int(ended)

    async def finish(self) -> None:
        """Finish what a `resume` that was killed has begun."""
        if await self._client.field("paused", _RESUMING) is not None:
            await self._give_back()

    async def flush(self, identity: str, *, discard: bool = False) -> Flushed:
        """Make the open digests of a subscription (or `EVERY`) due now, paused or not; or throw them away."""
        digests = changes = 0
        cursor = 0
        while True:
            async with translated():
                cursor, found = await self._client.redis.zscan(self._client.key("due"), cursor, count=_BATCH)
            idents = [ident for ident, _ in found]
            told = await self._client.run("flush", self._client.key("due"), [identity, int(discard), *idents])
            assert isinstance(told, list)
            digests, changes = digests + int(told[0]), changes + int(told[1])
            if not cursor:
                return Flushed(digests, changes)

    async def identities(self) -> set[str]:
        """Return the subscriptions that have open digests; looks at every one of them."""
        async with translated():
            idents = [one.decode() async for one, _ in self._client.redis.zscan_iter(self._client.key("due"))]
        found: set[str] = set()
        for start in range(0, len(idents), _BATCH):
            rows = await self._client.hashes("digest", idents[start : start + _BATCH], ("identity",))
            found |= {row["identity"].decode() for row in rows if row}
        return found

    async def _give_back(self) -> None:
        """Give due times back until a whole pass finds none to give: others are put off meanwhile, at any place."""
        given = -1
        while given:
            given, skip, seen = 0, 0, -1
            while seen:
                told = await self._client.run("resume", self._client.key("due"), [skip, _BATCH])
                assert isinstance(told, list)
                seen, kept = int(told[0]), int(told[1])
                given, skip = given + seen - kept, skip + kept
        async with translated():
            await self._client.redis.hdel(self._client.key("paused"), _RESUMING)
