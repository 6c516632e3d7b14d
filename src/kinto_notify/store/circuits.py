"""Circuits: which relay which daemon could not use, and when; kept for a day, for `status` and the notices."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kinto_notify.notice import LEAST_OUTAGE_MS, Outage
from kinto_notify.store.client import Client, translated

#: A daemon that was not heard of for so long has died; what it said of its circuits is no longer true.
_SILENT_MS = 60_000
_KEEP_MS = 86_400_000


class Circuits:
    """The circuits of all daemons of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self, now: int) -> Mapping[str, Outage]:
        """Return the outages of the last day by their key, those that are open or were open at their daemon's end."""
        found = await self._client.hash("circuits")
        return {key: _outage(value, now) for key, value in found.items()}

    async def report(self, daemon: str, opened: Iterable[Outage], now: int) -> None:
        """Write down which circuits of this daemon are open now; those that were open before have closed."""
        known = await self._client.hash("circuits")
        outages = {key: _outage(value, now, daemon) for key, value in known.items()}
        current = {key: _since(one, outages.get(key)) for one in opened if (key := self._key(one, outages))}
        gone = [key for key, one in outages.items() if now - (one.closed or now) > _KEEP_MS]
        changed = {key: _text(one, now) for key, one in current.items()}
        for key, one in outages.items():
            if one.daemon == daemon and one.closed is None and key not in current:
                if now - one.opened < LEAST_OUTAGE_MS:
                    gone.append(key)
                else:
                    changed[key] = _text(Outage(one.daemon, one.relay, one.opened, one.fault, now), now)
        if not gone and not changed:
            return
        async with translated():
            pipe = self._client.redis.pipeline(transaction=True)
            if changed:
                pipe.hset(self._client.key("circuits"), items=[part for pair in changed.items() for part in pair])
            if gone:
                pipe.hdel(self._client.key("circuits"), *gone)
            # Where no daemon is left to forget them.
            pipe.pexpire(self._client.key("circuits"), 2 * _KEEP_MS)
            await pipe.execute()

    def _key(self, one: Outage, known: Mapping[str, Outage]) -> str:
        """Name an outage: the one it goes on from, if the circuit was open already."""
        for key, other in known.items():
            if (other.daemon, other.relay, other.closed) == (one.daemon, one.relay, None):
                return key
        return f"{one.daemon} {one.relay} {one.opened}"


def _since(one: Outage, before: Outage | None) -> Outage:
    """Return an outage from when it began: a daemon that starts anew in the middle of it knows only of its own part."""
    return one if before is None else replace(one, opened=min(one.opened, before.opened))


def _text(one: Outage, now: int) -> str:
    return json.dumps([1, one.daemon, one.relay, one.opened, one.fault, one.closed, now])


def _outage(value: bytes, now: int, own: str = "") -> Outage:
    """Read one; silence means nothing where it is our `own`: Redis was away."""
    _, daemon, relay, opened, fault, closed, seen, *_ = json.loads(value)
    if closed is None and daemon != own and now - seen > _SILENT_MS:
        closed = seen
    return Outage(daemon, relay, opened, fault, closed)
