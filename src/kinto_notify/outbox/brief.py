"""An event, written down as Kinto said it, and told later.

In: a `Captured` event, while its writer waits. Out: entries in brief, one for each 500 objects or fewer, which
`complete` turns into what goes to the stream, in the relay, where nobody waits: that takes most of what encoding costs
from the write. What is no plain value, and what has more to tell, is not brief. `complete` takes entries of all forms.
Never fails.

The brief form is Python's own `marshal`, a fifth of the time of JSON, in versions that every Python since 3.4 reads and
writes alike. It never leaves this host's spool, which is its user's alone. Spools of form 1 have JSON arrays.
"""

import json
import marshal
from typing import Any

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, Origin, id_of, modified, new
from kinto_notify.outbox.resource import container_uri, storage_parent
from kinto_notify.outbox.split import DEPTH, Entry, Place, entries_again
from kinto_notify.outbox.tell import Told, tell, title_of

#: Version 4 says once what it meets again, such as the names of fields; version 2 does not look, and takes less time.
_OF_MANY, _OF_ONE = 4, 2
#: The first byte of a body: an event of one object, some objects of a longer one, and either in doubt.
_ONE, _SHARE, _MAYBE = b"M", b"S", b"?"
#: A row of a spool is on one line: in `M`, ..., `.` no frame can stand.
_ESCAPE, _ESCAPED, _LINE = b"\x1b", b"\x1b0", b"\x1b1"
#: A share of so many bytes fits one entry nearly always, though names, quotes and URIs are added to it.
_SHARE_BYTES = 128 * 1024
#: A reader believes no row of 16 MiB: a longer one would be damage.
_MAX_BYTES = 8 * 1024 * 1024
#: What one object of a transaction tells about it: resource, parent, id, `last_modified`.
Probe = tuple[str, str, str, int]


def brief(captured: Captured) -> list[Entry]:
    """Write an event down in brief; nothing if it needs more."""
    at, name, payload, impacted, origin, children, extra, hooks, titles, event_id = captured
    if extra is not None or children:
        return []
    try:
        if len(impacted) != 1:
            return _shares(captured)
        body = marshal.dumps((at, name, payload, impacted, tuple(origin), hooks, titles), _OF_ONE)  # type: ignore[arg-type]
    except ValueError:
        # Something that is no plain value, or is nested without end.
        return []
    if len(body) > wire.MAX_ENTRY_BYTES:
        return []
    # `replace` returns what has nothing to replace as it is.
    row = b"M%b." % body.replace(_ESCAPE, _ESCAPED).replace(b"\n", _LINE)
    return [new(Entry, (event_id or wire.new_id(), row))]


def complete(entry: Entry) -> list[Entry]:
    """Return what goes to the stream: one entry, nearly always."""
    event_id, body = entry
    if body.startswith(_MAYBE):
        return [marked(one) for one in complete(Entry(event_id, body[1:]))]
    if body.startswith(_SHARE):
        return _told_share(event_id, _line(body))
    if not body.startswith((_ONE, b"[")):
        return [entry]
    # The last one is missing in what an older version wrote.
    at, name, payload, impacted, said, hooks, *titles = _read(body)
    captured = Captured(at, name, payload, impacted, Origin(*said), hooks=hooks, titles=titles[0] if titles else ())
    return entries_again(tell(captured), event_id, None)


def marked(entry: Entry) -> Entry:
    """Return an entry that says `data.maybe = true`, or will when it is complete."""
    event_id, body = entry
    if body.startswith((_ONE, _SHARE, b"[")):
        return Entry(event_id, _MAYBE + body)
    event = json.loads(body)
    event["data"]["maybe"] = True
    return Entry(event_id, wire.encode(event, DEPTH))


def _shares(captured: Captured) -> list[Entry]:
    """Write an event of several objects down: what each costs here, a request that deletes thousands waits for."""
    impacted, pieces = captured.impacted, []
    start, step = 0, wire.MAX_CHANGES
    while start < len(impacted):
        some = impacted[start : start + step]
        piece = marshal.dumps(some, _OF_MANY)  # type: ignore[arg-type]
        if len(piece) > _SHARE_BYTES and len(some) > 1:
            step = max(1, len(some) * _SHARE_BYTES // len(piece) * 9 // 10)
            continue
        pieces.append(piece)
        start += len(some)
        # One large object does not make the shares behind it small.
        step = min(2 * step, wire.MAX_CHANGES)
    title = title_of(impacted[0], captured.titles) if pieces else ""
    said, hooks, titles = tuple(captured.origin), captured.hooks, captured.titles
    shared = (captured.at, captured.name, captured.payload, said, hooks, titles, title)
    made = []
    for number, piece in enumerate(pieces, 1):
        rest = marshal.dumps((*shared, len(impacted), number, len(pieces)), _OF_MANY)  # type: ignore[arg-type]
        raw = b"%08x%b%b" % (len(piece), piece, rest)
        body = b"S%b." % raw.replace(_ESCAPE, _ESCAPED).replace(b"\n", _LINE)
        # As it is written: what is full of line breaks has become twice as long.
        if len(body) > _MAX_BYTES:
            return []
        made.append(Entry(captured.id if number == 1 and captured.id else wire.new_id(), body))
    return made


def _told_share(event_id: str, raw: bytes) -> list[Entry]:
    middle = 8 + int(raw[:8], 16)
    impacted = marshal.loads(raw[8:middle])  # noqa: S302 - our own file
    at, name, payload, said, hooks, titles, title, *place = marshal.loads(raw[middle:])  # noqa: S302 - as above
    envelope, data, changes = tell(Captured(at, name, payload, impacted, Origin(*said), hooks=hooks, titles=titles))
    # All parts are called by the event's first object.
    named = {key: value for key, value in data.items() if key != "title"} | ({"title": title} if title else {})
    where = Place(*place)
    return entries_again(Told(envelope, named, changes), event_id, where if where.parts > 1 else None)


def _line(body: bytes) -> bytes:
    """Undo what kept a body on one line."""
    return body[1:-1].replace(_LINE, b"\n").replace(_ESCAPED, _ESCAPE)


def _read(body: bytes) -> Any:
    return json.loads(body) if body.startswith(b"[") else marshal.loads(_line(body))  # noqa: S302 - our own file


def probes(captured: Captured, most: int) -> list[Probe]:
    """Return what to ask storage to learn whether the event's transaction committed."""
    resource, parent = str(captured.payload.get("resource_name")), storage_parent(container_uri(captured.payload))
    asked = [(id_of(item), modified(item, "new")) for item in captured.impacted[:most]]
    return [(resource, parent, object_id, after) for object_id, after in asked if after is not None]
