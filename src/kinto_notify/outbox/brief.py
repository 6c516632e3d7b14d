"""An event of one object, written down as Kinto said it, and told later.

In: a `Captured` event, while its writer waits. Out: an entry in brief, which `complete` turns into what goes to the
stream, in the relay, where nobody waits: that takes most of what encoding costs from the write. An event that may not
fit one entry is not brief. `complete` takes entries of all forms. Never fails.

The brief form is Python's own `marshal`, a fifth of the time of JSON, in its version 4, which every Python since 3.4
reads and writes alike. It never leaves this host's spool, which is its user's alone. Spools of form 1 have JSON arrays.
"""

import json
import marshal
from typing import Any

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, Origin, id_of, modified
from kinto_notify.outbox.resource import container_uri, storage_parent
from kinto_notify.outbox.split import DEPTH, Entry, single
from kinto_notify.outbox.tell import tell

_MARSHAL = 4
#: A row of a spool is on one line: in `M`, ..., `.` no frame can stand.
_ESCAPE, _ESCAPED, _LINE = b"\x1b", b"\x1b0", b"\x1b1"
#: What one object of a transaction tells about it: resource, parent, id, `last_modified`.
Probe = tuple[str, str, str, int]


def brief(captured: Captured) -> Entry | None:
    """Write an event down in brief; None if it needs more."""
    at, name, payload, impacted, origin, children, extra, hooks, titles, event_id = captured
    if len(impacted) != 1 or extra is not None or children:
        return None
    try:
        # What is told of it is longer: names, quotes, and the ids once more.
        body = marshal.dumps((at, name, payload, impacted, tuple(origin), hooks, titles), _MARSHAL)  # type: ignore[arg-type]
    except ValueError:
        # Something that is no plain value, or is nested without end.
        return None
    if len(body) > wire.MAX_ENTRY_BYTES:
        return None
    # `replace` returns what has nothing to replace as it is.
    return Entry(event_id or wire.new_id(), b"M%b." % body.replace(_ESCAPE, _ESCAPED).replace(b"\n", _LINE))


def complete(entry: Entry) -> Entry:
    """Return the entry as it goes to the stream."""
    if not entry.body.startswith((b"M", b"[")):
        return entry
    # The last one is missing in what an older version wrote.
    at, name, payload, impacted, said, hooks, *titles = _read(entry.body)
    captured = Captured(at, name, payload, impacted, Origin(*said), hooks=hooks, titles=titles[0] if titles else ())
    return single(tell(captured), entry.id)


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


def _read(body: bytes) -> Any:
    if body.startswith(b"["):
        return json.loads(body)
    return marshal.loads(body[1:-1].replace(_LINE, b"\n").replace(_ESCAPED, _ESCAPE))  # noqa: S302 - our own file
