"""What differs between two objects, field by field, as text short enough to be read.

Pure. In: the old and the new object of a change. Out: `FieldDiff`s by JSON pointer, in the order of the new object's
fields, the removed ones last. A redacted field is never in it, nor a value that holds one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kinto_notify import pointer
from kinto_notify.pointer import MISSING, Pointer

#: Kinto writes these itself at each change: they say nothing of what a person did.
BOOKKEEPING = frozenset({("last_modified",), ("id",), ("deleted",)})
#: A value longer than this is cut in the middle: both ends tell more than the beginning alone.
MAX_VALUE_LENGTH = 240
#: Where both ends are alike, so much of the beginning is shown, and so much before the first difference.
_HEAD, _CONTEXT = 60, 40
#: A line of a digest shows so many fields, and counts the others.
MAX_FIELDS = 20
#: Deeper than this a value is shown whole (and cut), not taken apart.
_MAX_DEPTH = 8
#: Values of one of these types, the same on both sides, are compared as they are.
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field; `old` or `new` is None where the field was added or removed."""

    pointer: str
    old: str | None
    new: str | None


def differences(
    old: Mapping[str, object] | None, new: Mapping[str, object] | None, redacted: Sequence[Pointer] = ()
) -> tuple[tuple[FieldDiff, ...], int]:
    """Return the first `MAX_FIELDS` differing fields and how many more there are."""
    shown: list[FieldDiff] = []
    more = 0
    for path, before, after in _walk((), old or {}, new or {}):
        if path in BOOKKEEPING or pointer.overlaps(redacted, path):
            continue
        if len(shown) < MAX_FIELDS:
            shown.append(FieldDiff(pointer.text(path), *_show(before, after)))
        else:
            more += 1
    return tuple(shown), more


def differs(old: Mapping[str, object] | None, new: Mapping[str, object] | None, path: Pointer) -> bool:
    """Tell whether the value at the pointer was added, removed or changed."""
    before, after = pointer.find(old or {}, path), pointer.find(new or {}, path)
    return not _same(before, after)


def _same(before: object, after: object) -> bool:
    """Compare as JSON does: true is not 1, and 1 is 1.0."""
    if isinstance(before, bool) != isinstance(after, bool):
        return False
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_same, before, after))
    return bool(before == after)


def _walk(path: Pointer, before: object, after: object) -> Iterator[tuple[Pointer, object, object]]:
    """Yield the differing leaves; an object or list that is on one side only is taken apart too."""
    if len(path) < _MAX_DEPTH:
        sides = (before, after)
        if all(isinstance(side, dict) or (side is MISSING and path) for side in sides):
            left = before if isinstance(before, dict) else {}
            right = after if isinstance(after, dict) else {}
            if (left or right) or not path:
                for key in [*right, *(key for key in left if key not in right)]:
                    one, other = left.get(key, MISSING), right.get(key, MISSING)
                    # Most fields are plain and the same; a walk into each would be most of the work.
                    if type(one) is not type(other) or type(one) not in _PLAIN:
                        yield from _walk((*path, str(key)), one, other)
                    elif one != other:
                        yield (*path, str(key)), one, other
                return
        if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for index, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _walk((*path, str(index)), one, other)
            return
    if not _same(before, after):
        yield path, before, after


def _show(before: object, after: object) -> tuple[str | None, str | None]:
    """Write both values short; where what differs would be cut away, from a little before it on."""
    old, new = _written(before), _written(after)
    if old is None or new is None:
        return (None if old is None else cut_middle(old)), (None if new is None else cut_middle(new))
    shown = cut_middle(old), cut_middle(new)
    if shown[0] != shown[1] or old == new:
        return shown
    start = _first_difference(old, new) - _CONTEXT
    return _cut_at(old, start), _cut_at(new, start)


def _written(value: object) -> str | None:
    """Write a value as a person would read it: text bare, everything else as JSON."""
    if value is MISSING:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _first_difference(old: str, new: str) -> int:
    """Return where two texts part. By halves: a text may have a quarter of a million characters."""
    same, differs = 0, min(len(old), len(new)) + 1
    while differs - same > 1:
        middle = (same + differs) // 2
        same, differs = (middle, differs) if old[same:middle] == new[same:middle] else (same, middle)
    return same


def _cut_at(written: str, start: int) -> str:
    """Shorten a text to its beginning and what follows at `start`, which lies behind that."""
    head, gap = written[:_HEAD], " … "
    room = MAX_VALUE_LENGTH - _HEAD - 2 * len(gap)
    rest = written[start : start + room]
    return f"{head}{gap}{rest}{' …' if start + room < len(written) else ''}"


def cut_middle(written: str, limit: int = MAX_VALUE_LENGTH) -> str:
    """Shorten text to `limit` characters, keeping both ends."""
    if len(written) <= limit:
        return written
    head = (limit - 3) * 2 // 3
    return f"{written[:head]} … {written[len(written) - (limit - 3 - head) :]}"
