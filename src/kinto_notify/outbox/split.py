"""Captured events become stream entries of at most 500 changes and 256 KiB.

In: a `Captured` event and which of its changes survived. Out: entries ready for the stream, in order, none when no
change survived. Never fails.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, Change

#: What all entries begin with; the id comes next.
_HEAD = (
    f'{{"specversion":"{wire.SPEC_VERSION}","datacontenttype":"application/json",'
    f'"dataschema":"{wire.DATA_SCHEMA}","id":"'
).encode()
#: Room for the head, the id, and `,"total":50000,"part":12,"parts":34,"truncated":true,"changes":[]}}`.
_NUMBERS = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream: its event id, and the JSON of its field `event`."""

    id: str
    body: bytes


def entries(captured: Captured, changes: Sequence[Change] | None = None) -> list[Entry]:
    """Make the entries of an event out of `changes` (default: all it has)."""
    kept = captured.changes if changes is None else changes
    if not kept:
        return []
    # All but the id in front and what differs between the parts behind.
    shared = wire.encode({**captured.envelope, "data": captured.data})[1:-2]
    parts = list(_parts(kept, wire.MAX_ENTRY_BYTES - len(shared) - _NUMBERS))
    result = []
    for number, part in enumerate(parts, 1):
        event_id = wire.new_id()
        numbers = b',"total":%d' % len(kept)
        if len(parts) > 1:
            numbers += b',"part":%d,"parts":%d' % (number, len(parts))
        if any(change.cut for change in part):
            numbers += b',"truncated":true'
        listed = b",".join([change.json for change in part])
        body = b'%b%b",%b%b,"changes":[%b]}}' % (_HEAD, event_id.encode(), shared, numbers, listed)
        result.append(Entry(event_id, body))
    return result


def _parts(changes: Sequence[Change], room: int) -> Iterator[list[Change]]:
    part: list[Change] = []
    size = 0
    for change in changes:
        length = len(change.json) + 1
        if part and (len(part) >= wire.MAX_CHANGES or size + length > room):
            yield part
            part, size = [], 0
        part.append(change)
        size += length
    yield part
