"""The list of `kinto_redis.listeners` or `cliquet.listeners.redis` → entries of our stream.

In: payloads as those listeners push them: no objects, and of several changes the ids of the first only. Out: entries of
the contract, moved atomically, by any number of daemons. What is no payload becomes a dead letter; accounts are
dropped, as everywhere. A key that is no list is a `ConfigError`; Redis away is `StoreUnavailable`.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from kinto_notify import wire
from kinto_notify.credentials import PREFIX
from kinto_notify.errors import ConfigError, MalformedEntry
from kinto_notify.event import parse_event
from kinto_notify.patience import wait_for
from kinto_notify.store.client import RefusedByRedis
from kinto_notify.store.old_list import Moved, OldList
from kinto_notify.telemetry import Telemetry

#: A list tells nobody that it has grown, unless it is popped at once, which would not be atomic.
_LOOK_S = 0.5
#: Never published: their events carry password hashes, or would tell who has an account.
_UNTOLD = "account"
#: What the payload and an event's data have in common.
_WORDS = ("bucket_id", "collection_id", "group_id", "record_id", "root_url", "client_address", "user_agent")


class LegacyList:
    """The room that empties the list."""

    def __init__(self, old: OldList, telemetry: Telemetry) -> None:
        self._old = old
        self._telemetry = telemetry

    async def step(self, stop: asyncio.Event) -> None:
        """Move a batch, or wait for half a second where there is nothing."""
        if not await self.work():
            await wait_for(stop, _LOOK_S)

    async def work(self) -> int:
        """Move a batch; return how many entries stood there."""
        try:
            found = await self._old.oldest()
        except RefusedByRedis as fault:
            raise ConfigError(f"{PREFIX}LIST: Redis does not read {self._old.name!r} as a list: {fault}") from None
        if found:
            taken, buried = await self._old.move([moved(one, self._old.name) for one in found])
            self._telemetry.moved(taken, buried)
        return len(found)


def moved(stands: bytes, name: str) -> Moved:
    """Decide what becomes of a list's entry. Its text is a stranger's, so no reason shows any of it."""
    try:
        payload = json.loads(stands)
    except (ValueError, RecursionError):
        return Moved(stands, reason=f"list {name}: is no JSON")
    if not isinstance(payload, dict):
        return Moved(stands, reason=f"list {name}: is no JSON object")
    if payload.get("resource_name") == _UNTOLD:
        return Moved(stands)
    event = wire.encode(event_of(payload, name))
    if len(event) > wire.MAX_ENTRY_BYTES:
        return Moved(stands, reason=f"list {name}: is larger than an entry may be")
    try:
        parse_event(event)
    except MalformedEntry as fault:
        return Moved(stands, reason=f"list {name}: {fault}")
    return Moved(stands, event)


def event_of(payload: Mapping[str, object], name: str) -> dict[str, object]:
    """Return the event of the contract (docs/wire-format.md) that a payload tells of; it may be none."""
    resource, action, uri = (payload.get(key) for key in ("resource_name", "action", "uri"))
    path = uri if isinstance(uri, str) else ""
    parent, _, last = path.rpartition("/")
    # After a POST or a plural delete the URI is that of all of them, and no word names the object.
    plural = last == f"{resource}s"
    ident = payload.get(f"{resource}_id") or payload.get("id") or ("" if plural else last)
    data: dict[str, object] = {
        "action": action,
        "resource_name": resource,
        "timestamp": payload.get("timestamp", 0),
        "user_id": payload.get("user_id") or "",
        "uri": path,
        "event": payload.get("event") or "kinto.core.events.ResourceChanged",
        "changes": [{"id": ident, "uri": path}],
    }
    return {
        "specversion": wire.SPEC_VERSION,
        "id": wire.new_id(),
        "source": payload.get("root_url") or f"urn:kinto-notify:list:{name}",
        "type": f"{wire.TYPE_PREFIX}.{resource}.{action}",
        "subject": (parent if plural else parent.rpartition("/")[0]) or "/",
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "dataschema": wire.DATA_SCHEMA,
        "data": data | {key: payload[key] for key in _WORDS if payload.get(key)},
    }
