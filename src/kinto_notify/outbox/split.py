"""Captured events become stream entries of at most 500 changes and 256 KiB.

In: a `Captured` event. Out: entries ready for the stream, in order, none where no change is left of it; an object too
large for an entry is cut to its id. Never fails.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured
from kinto_notify.outbox.tell import Told, tell

#: An entry's own levels around a change: the entry, its data, the list of changes.
DEPTH = wire.MAX_DEPTH + 3
#: Room for `,"total":50000,"part":12,"parts":34,"truncated":true,"changes":}}`, the version and the id.
_NUMBERS = 300
#: A change larger than this is cut; the rest of an entry is for the envelope, whose own values are clipped then.
MAX_CHANGE_BYTES = wire.MAX_ENTRY_BYTES - 32 * 1024
#: Longer strings in an envelope come from a client's headers or ids and carry nothing more.
MAX_TEXT = 1000

Changes = Sequence[Mapping[str, Any]]


class Place(NamedTuple):
    """Which part of a longer event some changes are, as an entry says it."""

    total: int
    part: int
    parts: int


class Entry(NamedTuple):
    """One entry of the stream: its event id, and the JSON of its field `event`. Each write makes one: no dataclass."""

    id: str
    body: bytes


def entries(captured: Captured) -> list[Entry]:
    """Make the entries of an event."""
    if not captured.impacted:
        return []
    told = tell(captured)
    if len(told.changes) <= wire.MAX_CHANGES:
        one = _whole(told, captured.id or wire.new_id())
        if len(one.body) <= wire.MAX_ENTRY_BYTES:
            return [one]
    # With ids of their own: there may be more than have room behind this one.
    return _split(told, "")


def entries_again(told: Told, event_id: str, place: Place | None) -> list[Entry]:
    """Make the entries of at most 500 changes that were written down in brief: the same ones whenever it is asked."""
    one = (
        _whole(told, event_id)
        if place is None
        else _entry(told, event_id, {**place._asdict(), "changes": told.changes})
    )
    return [one] if len(one.body) <= wire.MAX_ENTRY_BYTES else _split(told, event_id, place)


def _whole(told: Told, event_id: str) -> Entry:
    return _entry(told, event_id, {"total": len(told.changes), "changes": told.changes})


def _entry(told: Told, event_id: str, more: Mapping[str, Any]) -> Entry:
    event = {
        "specversion": wire.SPEC_VERSION,
        "id": event_id,
        **told.envelope,
        "datacontenttype": "application/json",
        "dataschema": wire.DATA_SCHEMA,
        "data": {**told.data, **more},
    }
    return Entry(event_id, wire.encode(event, DEPTH))


def _split(long: Told, event_id: str, place: Place | None = None) -> list[Entry]:
    """Make entries of as many changes as fit; those of a part of a longer event are all called that part."""
    changes = long.changes
    envelope, data = ({name: clipped(value) for name, value in part.items()} for part in (long.envelope, long.data))
    # Bounded already, where they were found.
    data |= {name: long.data[name] for name in ("hooks", "settings", "title_fields") if name in long.data}
    told = Told(envelope, data, ())
    room = wire.MAX_ENTRY_BYTES - _NUMBERS - len(_entry(told, "", {}).body)
    lists = [piece for start in range(0, len(changes), wire.MAX_CHANGES)
             for piece in _fitting(changes[start : start + wire.MAX_CHANGES], room)]  # fmt: skip
    result = []
    for number, (listed, cut) in enumerate(lists, 1):
        more: dict[str, Any] = {"total": len(changes)}
        if place is not None:
            more = place._asdict()
        elif len(lists) > 1:
            more |= {"part": number, "parts": len(lists)}
        if cut:
            more["truncated"] = True
        front = _entry(told, wire.id_after(event_id, number - 1) if event_id else wire.new_id(), more)
        result.append(Entry(front.id, b'%b,"changes":%b}}' % (front.body[:-2], listed)))
    return result


def _fitting(changes: Changes, room: int) -> Iterator[tuple[bytes, bool]]:
    """Encode lists of changes, each as long as there is room; tell of each whether an object in it was cut."""
    listed = wire.encode(changes, DEPTH - 2)
    if len(listed) <= room:
        yield listed, False
    elif len(changes) == 1:
        yield b"[%b]" % _cut(dict(changes[0]), min(room - 2, MAX_CHANGE_BYTES)), True
    else:
        middle = len(changes) // 2
        yield from _fitting(changes[:middle], room)
        yield from _fitting(changes[middle:], room)


def _cut(change: dict[str, Any], room: int) -> bytes:
    """Return a change with as much cut as it takes, the old state first; an id may be what is too long."""
    encoded = b""
    short = {name: clipped(change[name]) for name in ("id", "uri")}
    for smaller in ({"old": {"id": short["id"]}}, {"new": {"id": short["id"]}}, short):
        change |= {name: value for name, value in smaller.items() if name in change}
        change["truncated"] = True
        encoded = wire.encode(change)
        if len(encoded) <= room:
            break
    return encoded


def clipped(value: Any) -> Any:
    """Shorten what an envelope has no room for."""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, dict) and len(wire.encode(value)) > MAX_TEXT:
        return {name: inner[:MAX_TEXT] if isinstance(inner, str) else inner for name, inner in value.items()}
    if isinstance(value, (list, tuple)) and len(wire.encode(value)) > MAX_TEXT:
        # Kinto's payloads are flat; this is what a further event put there.
        return None
    return value
