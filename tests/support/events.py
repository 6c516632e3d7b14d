"""Stream entries as the listener writes them, made by hand for tests that need no Kinto."""

import json
import time
import uuid
from typing import Any

import redis

from kinto_notify import wire


def change(
    ident: str = "r1", *, old: dict[str, Any] | None = None, new: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One impacted object; a create of a titled record where nothing else is said."""
    told: dict[str, Any] = {"id": ident, "uri": f"/buckets/b/collections/c/records/{ident}"}
    if old is None and new is None:
        new = {"id": ident, "last_modified": 1_700_000_000_000, "title": f"Title of {ident}"}
    return told | {name: value for name, value in (("old", old), ("new", new)) if value is not None}


def event(*changes: dict[str, Any], ident: str | None = None, **data: Any) -> dict[str, Any]:
    """One event of the contract (6.2); `data` overrides what its payload says."""
    payload = {
        "action": "create",
        "resource_name": "record",
        "timestamp": 1_700_000_000_000,
        "user_id": "account:alice",
        "uri": "/buckets/b/collections/c/records/r1",
        "bucket_id": "b",
        "collection_id": "c",
        "event": "kinto.core.events.ResourceChanged",
        "changes": list(changes) or [change()],
    } | data
    return {
        "specversion": "1.0",
        "id": ident or wire.new_id(),
        "source": "http://localhost/v1/",
        "type": f"{wire.TYPE_PREFIX}.{payload['resource_name']}.{payload['action']}",
        "subject": "/buckets/b/collections/c",
        "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": wire.DATA_SCHEMA,
        "data": payload,
    }


def aged(seconds: int) -> str:
    """An event id that was made so long ago."""
    stamp = int((time.time() - seconds) * 1000)
    return str(uuid.UUID(int=(stamp << 80) | (7 << 76) | (2 << 62) | uuid.uuid4().int >> 68))


def fields(one: dict[str, Any]) -> dict[str, str]:
    """The two fields of an entry."""
    return {wire.FIELD_VERSION: wire.VERSION, wire.FIELD_EVENT: json.dumps(one)}


def publish(url: str, namespace: str, *events: dict[str, Any], batch: int = 1000) -> list[str]:
    """Put events into the stream as the relay does; return their event ids."""
    with redis.Redis.from_url(url) as client:
        for start in range(0, len(events), batch):
            pipe = client.pipeline(transaction=False)
            for one in events[start : start + batch]:
                pipe.xadd(wire.events_key(namespace), fields(one))
            pipe.execute()
    return [one["id"] for one in events]
