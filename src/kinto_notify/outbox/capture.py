"""A Kinto or Cliquet event becomes encoded changes, at once.

In: an event as Kinto hands it to a listener, inside the transaction. Out: `Captured`: the fields that all entries of
the event share, and each change as its own piece of JSON, so that nothing that happens to the objects later shows
and splitting is adding up lengths. `None` for what is never published. Raises nothing of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kinto_notify import wire
from kinto_notify.outbox.redact import redacted
from kinto_notify.outbox.resource import container_uri, parent_uri, storage_parent
from kinto_notify.outbox.settings import OutboxSettings

#: A change larger than this is cut; the rest of an entry is for the envelope, whose own strings are clipped.
MAX_CHANGE_BYTES = wire.MAX_ENTRY_BYTES - 32 * 1024
#: Longer strings in the envelope come from a client's headers or ids and carry nothing more.
MAX_TEXT = 1000
#: Attributes of a further event; none that we know has more than three.
_MAX_EXTRA = 16
_TITLES = ("title", "name", "label", "display_name")
_NOTHING: Mapping[str, Any] = {}


class Change(NamedTuple):
    """One impacted object: its JSON, and what tells whether it is still so in storage.

    `after` is the `last_modified` that this change gave the object, `before` the one it had (None: none).
    """

    # A tuple, since a plural delete makes one for each of its objects: a frozen dataclass costs three times as much.
    id: str
    uri: str
    json: bytes
    after: int | None
    before: int | None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Captured:
    """One event, encoded: the envelope's and the data's shared fields, and the changes."""

    envelope: Mapping[str, Any]
    data: Mapping[str, Any]
    changes: Sequence[Change]
    resource: str
    parent: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The HTTP request that caused an event; one for all of a batch."""

    request_id: str
    root_url: str
    client_address: str
    user_agent: str


def capture(
    event: Any, origin: Origin, settings: OutboxSettings, children: Mapping[str, int] | None = None
) -> Captured | None:
    """Encode an event; None if its resource is never published, or it is a read."""
    payload = getattr(event, "payload", None) or {}
    resource = str(payload.get("resource_name") or "")
    if resource in settings.exclude:
        return None
    impacted = impacted_of(event)
    kind = type(event)
    name = f"{kind.__module__}.{kind.__qualname__}"
    further = name in settings.events
    if not (impacted or further):
        return None
    container = container_uri(payload)
    data: dict[str, Any] = {}
    if further:
        data = {"action": kind.__name__, "resource_name": "event", "extra": _extra(event)}
    for key, value in payload.items():
        # Kinto says `"user_id": null` of an anonymous writer; a word that an event does not have is left out.
        if value is not None:
            data[key] = _clipped(value)
    data["event"] = name
    data["root_url"] = origin.root_url
    data["client_address"] = origin.client_address
    data["user_agent"] = origin.user_agent
    data["request_id"] = origin.request_id
    title = _title(impacted[0], settings.redact) if impacted else ""
    if title:
        data["title"] = title
    if children:
        data["children"] = dict(children)
    envelope = {
        "source": origin.root_url,
        "type": name if further else f"{wire.TYPE_PREFIX}.{resource}.{payload.get('action')}",
        "subject": _clipped(parent_uri(container)),
        "time": f"{datetime.now(UTC).isoformat(timespec='milliseconds')[:-6]}Z",
    }
    # An event that names no objects is one change of whatever its URI names.
    changes = [encode_change(item, container, settings.redact) for item in impacted or ({},)]
    return Captured(envelope, data, changes, resource, storage_parent(container))


def _extra(event: Any) -> dict[str, Any]:
    """Return the public scalar attributes of a further Pyramid event, such as a reviewer's comment."""
    named = [(key, value) for key, value in vars(event).items() if not key.startswith("_")]
    scalars = [(key, _clipped(value)) for key, value in named if isinstance(value, (str, int, float, bool))]
    return dict(scalars[:_MAX_EXTRA])


def impacted_of(event: Any) -> Sequence[Mapping[str, Any]]:
    """Return what an event changed: Kinto says `impacted_objects`, Cliquet `impacted_records`."""
    # Not getattr with a default: in Kinto the old name is there too, and warns.
    if hasattr(event, "impacted_objects"):
        return event.impacted_objects or ()
    return getattr(event, "impacted_records", None) or ()


def encode_change(item: Mapping[str, Any], container: str, pointers: Sequence[Sequence[str]]) -> Change:
    """Encode one impacted object; one too large is cut to its id, the old state first."""
    old, new = item.get("old"), item.get("new")
    before = old if isinstance(old, dict) else _NOTHING
    after = new if isinstance(new, dict) else _NOTHING
    object_id = str((after or before).get("id", ""))
    body: dict[str, Any] = {"id": object_id, "uri": f"{container}/{object_id}" if object_id else container}
    if old is not None:
        body["old"] = redacted(old, pointers) if pointers else old
    if new is not None:
        body["new"] = redacted(new, pointers) if pointers else new
    uri, encoded, cut = body["uri"], wire.encode(body), False
    if len(encoded) > MAX_CHANGE_BYTES:
        cut, encoded = True, _cut(body)
    return Change(object_id, uri, encoded, _modified(after), _modified(before), cut)


def _cut(body: dict[str, Any]) -> bytes:
    """Return the change with as much cut as it takes; an id may be what is too long, since writers choose them."""
    encoded = b""
    short = {name: _clipped(body[name]) for name in ("id", "uri")}
    for smaller in ({"old": short["id"]}, {"new": short["id"]}, short):
        for name, value in smaller.items():
            if name in body:
                body[name] = {"id": value} if name in ("old", "new") else value
        body["truncated"] = True
        encoded = wire.encode(body)
        if len(encoded) <= MAX_CHANGE_BYTES:
            break
    return encoded


def _modified(state: Mapping[str, Any]) -> int | None:
    value = state.get("last_modified")
    return value if isinstance(value, int) else None


def _title(item: Mapping[str, Any], pointers: Sequence[Sequence[str]]) -> str:
    """Return what a person would call the object, from its new state, or its old one where it was deleted."""
    for state in (item.get("new"), item.get("old")):
        if isinstance(state, dict):
            shown = redacted(state, pointers)
            for name in _TITLES:
                value = shown.get(name)
                if isinstance(value, str) and value.strip():
                    return value.strip()[:200]
    return ""


def _clipped(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, (dict, list, tuple)) and len(wire.encode(value)) > MAX_TEXT:
        # Kinto's payloads are flat; what a further event puts there must leave room for the change.
        return None
    return value
