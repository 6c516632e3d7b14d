"""Captured events become stream entries of at most 500 changes and 256 KiB.

In: a `Captured` event and which of its changes survived. Out: entries ready for the stream, in order, none when no
change survived. Never fails.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, Change

#: `,"total":50000,"part":12,"parts":34,"truncated":true` and the brackets fit in this.
_NUMBERS = 200


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
    data = wire.dumps(captured.data).encode()[1:-1]
    envelope = wire.dumps(captured.envelope).encode()[1:-1]
    room = wire.MAX_ENTRY_BYTES - len(data) - len(envelope) - _NUMBERS - len(wire.DATA_SCHEMA) - 200
    parts = list(_parts(kept, room))
    result = []
    for number, part in enumerate(parts, 1):
        numbers = f',"total":{len(kept)}'
        if len(parts) > 1:
            numbers += f',"part":{number},"parts":{len(parts)}'
        if any(change.cut for change in part):
            numbers += ',"truncated":true'
        event_id = wire.new_id()
        head = f'{{"specversion":"{wire.SPEC_VERSION}","id":"{event_id}",'.encode()
        middle = f',"datacontenttype":"application/json","dataschema":"{wire.DATA_SCHEMA}","data":{{'.encode()
        listed = b",".join([change.json for change in part])
        body = b"".join((head, envelope, middle, data, numbers.encode(), b',"changes":[', listed, b"]}}"))
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
