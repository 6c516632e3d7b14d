"""A Kinto or Cliquet event becomes encoded changes, at once.

In: an event as Kinto hands it to a listener, inside the transaction. Out: `Captured`: the fields that all entries of
the event share, and each change as its own piece of JSON, so that nothing that happens to the objects later shows
and splitting is adding up lengths. `None` for what is never published. Raises nothing of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kinto_notify import wire
from kinto_notify.outbox.redact import redacted
from kinto_notify.outbox.resource import container_uri, parent_uri, storage_parent
from kinto_notify.outbox.settings import OutboxSettings

#: A change larger than this is cut; the rest of an entry is for the envelope, whose own strings are clipped.
MAX_CHANGE_BYTES = wire.MAX_ENTRY_BYTES - 32 * 1024
#: Longer strings in the envelope come from a client's headers or ids and carry nothing more.
MAX_TEXT = 1000
_TITLES = ("title", "name", "label", "display_name")


@dataclass(frozen=True, slots=True)
class Change:
    """One impacted object: its JSON, and what tells whether it is still so in storage.

    `after` is the `last_modified` that this change gave the object, `before` the one it had (None: none).
    """

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
    payload = {str(key): value for key, value in (getattr(event, "payload", None) or {}).items()}
    resource = str(payload.get("resource_name") or "")
    impacted = impacted_of(event)
    name = f"{type(event).__module__}.{type(event).__qualname__}"
    further = name in settings.events
    if resource in settings.exclude or not (impacted or further):
        return None
    container = container_uri(payload)
    data: dict[str, Any] = {}
    if further:
        data = {"action": type(event).__name__, "resource_name": "event", "extra": _extra(event)}
    # Kinto says `"user_id": null` of an anonymous writer; a word that an event does not have is left out.
    data |= {key: _clipped(value) for key, value in payload.items() if value is not None}
    data |= {
        "event": name,
        "root_url": origin.root_url,
        "client_address": origin.client_address,
        "user_agent": origin.user_agent,
        "request_id": origin.request_id,
    }
    title = _title(impacted[0], settings.redact) if impacted else ""
    if title:
        data["title"] = title
    if children:
        data["children"] = dict(children)
    envelope = {
        "source": origin.root_url,
        "type": name if further else f"{wire.TYPE_PREFIX}.{resource}.{payload.get('action')}",
        "subject": _clipped(parent_uri(container)),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    # An event that names no objects is one change of whatever its URI names.
    items = impacted or ({},)
    changes = [encode_change(item, container, settings.redact) for item in items]
    return Captured(envelope, data, changes, resource, storage_parent(container))


def _extra(event: Any) -> dict[str, Any]:
    """Return the public scalar attributes of a further Pyramid event, such as a reviewer's comment."""
    named = {key: value for key, value in vars(event).items() if not key.startswith("_")}
    return {key: _clipped(value) for key, value in named.items() if isinstance(value, (str, int, float, bool))}


def impacted_of(event: Any) -> Sequence[Mapping[str, Any]]:
    """Return what an event changed: Kinto says `impacted_objects`, Cliquet `impacted_records`."""
    # Not getattr with a default: in Kinto the old name is there too, and warns.
    if hasattr(event, "impacted_objects"):
        return event.impacted_objects or ()
    return getattr(event, "impacted_records", None) or ()


def encode_change(item: Mapping[str, Any], container: str, pointers: Sequence[Sequence[str]]) -> Change:
    """Encode one impacted object; one too large is cut to its id, the old state first."""
    old, new = item.get("old"), item.get("new")
    known = new if isinstance(new, dict) else old if isinstance(old, dict) else {}
    object_id = str(known.get("id", ""))
    body: dict[str, Any] = {"id": object_id, "uri": f"{container}/{object_id}".rstrip("/")}
    for name, state in (("old", old), ("new", new)):
        if state is not None:
            body[name] = redacted(state, pointers) if pointers else state
    encoded = wire.encode(body)
    cut = False
    for name in ("old", "new"):
        if len(encoded) > MAX_CHANGE_BYTES and name in body:
            body[name] = {"id": object_id}
            body["truncated"] = cut = True
            encoded = wire.encode(body)
    return Change(object_id, body["uri"], encoded, _modified(new), _modified(old), cut)


def _modified(state: Any) -> int | None:
    value = state.get("last_modified") if isinstance(state, dict) else None
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
    return value[:MAX_TEXT] if isinstance(value, str) else value
