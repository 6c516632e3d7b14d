"""An event of one object, written down as Kinto said it, and told later.

In: a `Captured` event, while its writer waits. Out: an entry in brief (a JSON array), which `complete` turns into what
goes to the stream, in the relay, where nobody waits: that halves what encoding costs the write. An event that may not
fit one entry is not brief. `complete` takes entries of both forms. Never fails.
"""

import json

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, Origin, id_of, modified
from kinto_notify.outbox.resource import container_uri, storage_parent
from kinto_notify.outbox.split import DEPTH, Entry, whole
from kinto_notify.outbox.tell import tell

#: Whatever the ids in it are, which an entry repeats in URIs, the entry is no longer than four times this.
_MAX_BYTES = wire.MAX_ENTRY_BYTES // 4
#: What one object of a transaction tells about it: resource, parent, id, `last_modified`.
Probe = tuple[str, str, str, int]


def brief(captured: Captured) -> Entry | None:
    """Write an event down in brief; None if it needs more."""
    if len(captured.impacted) != 1 or captured.extra is not None or captured.children:
        return None
    origin = captured.origin
    said = (origin.request_id, origin.root_url, origin.client_address, origin.user_agent)
    more = (captured.hooks, captured.titles) if captured.titles else (captured.hooks,)
    body = wire.encode((captured.at, captured.name, captured.payload, captured.impacted, said, *more), DEPTH - 1)
    return Entry(wire.new_id(), body) if len(body) <= _MAX_BYTES else None


def complete(entry: Entry) -> Entry:
    """Return the entry as it goes to the stream."""
    if not entry.body.startswith(b"["):
        return entry
    # The last one is missing where nothing is hinted, and in what an older version wrote.
    at, name, payload, impacted, said, hooks, *titles = json.loads(entry.body)
    captured = Captured(at, name, payload, impacted, Origin(*said), hooks=hooks, titles=titles[0] if titles else ())
    return whole(tell(captured), entry.id)


def marked(entry: Entry) -> Entry:
    """Return the entry as it goes to the stream, with `data.maybe = true`."""
    event = json.loads(complete(entry).body)
    event["data"]["maybe"] = True
    return Entry(entry.id, wire.encode(event, DEPTH))


def probes(captured: Captured, most: int) -> list[Probe]:
    """Return what to ask storage to learn whether the event's transaction committed."""
    resource, parent = str(captured.payload.get("resource_name")), storage_parent(container_uri(captured.payload))
    asked = [(id_of(item), modified(item, "new")) for item in captured.impacted[:most]]
    return [(resource, parent, object_id, after) for object_id, after in asked if after is not None]
