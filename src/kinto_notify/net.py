"""`collapse = "net"`: what many changes of an object come to in the end.

Pure. In: for each object its first action and one line that `file.lua` has merged: the first old and the last new value
of each field, the last action. Out: lines and counters of what differs between before and after; an object that is as
it was is not told of.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kinto_notify.diff import FieldDiff
from kinto_notify.digest import Line, count_key

#: What stands between the ends of a value that was cut to be shown: two such values may differ where it was cut.
_CUT = " … "
_STATES = ("create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Merged:
    """All changes of one object: what the first of them did, and one line that spans them."""

    first_action: str
    line: Line


def net(merged: Iterable[Merged]) -> tuple[tuple[Line, ...], dict[str, int]]:
    """Return what is left, the oldest last change first, and its counters."""
    found = [line for one in merged if (line := _net(one)) is not None]
    found.sort(key=lambda line: (line.timestamp, line.uri))
    counts = Counter(count_key(line.resource_name, line.action) for line in found)
    return tuple(found), dict(counts)


def _net(one: Merged) -> Line | None:
    if one.line.action not in _STATES:
        # A further event, such as a request for a review, undoes nothing and is told, the last of several alike.
        return one.line
    before, after = one.first_action != "create", one.line.action != "delete"
    if not (before or after):
        return None
    fields = tuple(field for field in one.line.fields if _differs(field))
    if before and after and not (fields or _may_hide_more(one.line)):
        return None
    action = "update" if before and after else "create" if after else "delete"
    return replace(one.line, action=action, fields=fields)


def _may_hide_more(line: Line) -> bool:
    """Tell whether there may be differences that the line does not show; a hook's own text shows none at all."""
    return bool(line.more_fields or line.hidden or line.truncated or line.text is not None)


def _differs(field: FieldDiff) -> bool:
    return field.old != field.new or (field.old is not None and _CUT in field.old)
