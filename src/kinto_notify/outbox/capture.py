"""What Kinto or Cliquet says in an event, taken down for later.

In: an event as Kinto hands it to a listener, inside the transaction. Out: `Captured`, with as little work as can be,
since the writer waits for it; `tell` makes of it what entries say. `None` for what is never published. Raises nothing
of its own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kinto_notify.outbox.redact import redacted
from kinto_notify.outbox.settings import OutboxSettings

#: Attributes of a further event; none that we know has more than three.
_MAX_EXTRA = 16
_NOTHING: Mapping[str, Any] = {}


#: Makes a named tuple from all of its values, in half the time that its own class takes; each write makes a few.
new = tuple.__new__


# A dataclass takes four times as long.
class Origin(NamedTuple):
    """The HTTP request that caused an event; one for all of a batch."""

    request_id: str
    root_url: str
    client_address: str
    user_agent: str


class Captured(NamedTuple):
    """One event: when (ms), of which class, Kinto's payload, and the objects it changed.

    The states in `impacted` are Kinto's own objects: encode them before anybody can change those. `extra` is for
    further Pyramid events only.
    """

    at: int
    name: str
    payload: Mapping[str, Any]
    impacted: Sequence[Mapping[str, Any]]
    origin: Origin
    children: Mapping[str, int] | None = None
    extra: Mapping[str, Any] | None = None
    #: What the event's hooks add to its data; None if it has none.
    hooks: Mapping[str, Any] | None = None
    #: Where the names of its objects stand, as JSON pointers, if their collection hints it.
    titles: Sequence[str] = ()
    #: Of its first entry; made for it where there is none yet.
    id: str = ""


def capture(
    event: Any,
    origin: Origin,
    settings: OutboxSettings,
    event_id: str,
    naming: Callable[[Any], Sequence[str]] | None = None,
    hooks: Callable[[Any], Mapping[str, Any]] | None = None,
) -> Captured | None:
    """Take an event down; None if its resource is never published, or it is a read."""
    payload = getattr(event, "payload", None) or _NOTHING
    if payload.get("resource_name") in settings.exclude:
        return None
    impacted = impacted_of(event)
    name = _names.get(type(event)) or _name_of(type(event))
    extra = _extra(event) if name in settings.events else None
    if not impacted:
        if extra is None:
            return None
        # An event that names no objects is one change of whatever its URI names.
        impacted = ({},)
    elif settings.redact:
        impacted = [_redacted(item, settings.redact) for item in impacted]
    found = hooks(event) if hooks is not None else None
    titles = naming(event) if naming is not None else ()
    now = time.time_ns() // 1_000_000
    return new(Captured, (now, name, payload, impacted, origin, None, extra, found, titles, event_id))


_MAX_NAMES = 64
#: How each class of events is called.
_names: dict[type, str] = {}


def _name_of(kind: type) -> str:
    if len(_names) >= _MAX_NAMES:
        # Somebody makes a class for each event.
        _names.clear()
    _names[kind] = name = f"{kind.__module__}.{kind.__qualname__}"
    return name


def impacted_of(event: Any) -> Sequence[Mapping[str, Any]]:
    """Return what an event changed: Kinto says `impacted_objects`, Cliquet `impacted_records`."""
    try:
        return event.impacted_objects or ()
    except AttributeError:
        # Not the other way round: in Kinto the old name is there too, and warns.
        return getattr(event, "impacted_records", None) or ()


def id_of(item: Mapping[str, Any]) -> str:
    """Return the id of an impacted object; empty if there is none."""
    old, new = item.get("old"), item.get("new")
    known = new if isinstance(new, dict) else old if isinstance(old, dict) else _NOTHING
    return str(known.get("id", ""))


def modified(item: Mapping[str, Any], state: str) -> int | None:
    """Return the `last_modified` of the old or new state of an impacted object; None if there is none."""
    known = item.get(state)
    value = known.get("last_modified") if isinstance(known, dict) else None
    return value if isinstance(value, int) else None


def _extra(event: Any) -> dict[str, Any]:
    """Return the public scalar attributes of a further Pyramid event, such as a reviewer's comment."""
    own = getattr(event, "__dict__", None)
    named = [(key, value) for key, value in own.items() if not key.startswith("_")] if type(own) is dict else []
    scalars = [(key, value) for key, value in named if isinstance(value, (str, int, float, bool))]
    return dict(scalars[:_MAX_EXTRA])


def _redacted(item: Mapping[str, Any], pointers: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {name: redacted(item[name], pointers) for name in ("old", "new") if item.get(name) is not None}
