"""What the entries of an event say: the envelope, the shared part of its data, and the changes.

In: a `Captured` event. Out: `Told`, with the names of the wire format. Never fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, id_of
from kinto_notify.outbox.resource import container_uri, parent_uri

_TITLES = ("title", "name", "label", "display_name")


@dataclass(frozen=True, slots=True)
class Told:
    """One event as it is told, but for the ids of its entries."""

    envelope: Mapping[str, Any]
    data: Mapping[str, Any]
    changes: Sequence[Mapping[str, Any]]


def tell(captured: Captured) -> Told:
    """Make of an event what is said of it."""
    payload, origin, further = captured.payload, captured.origin, captured.extra is not None
    container = container_uri(payload)
    data: dict[str, Any] = {}
    if further:
        data = {"action": captured.name.rpartition(".")[2], "resource_name": "event", "extra": captured.extra}
    # Kinto says `"user_id": null` of an anonymous writer; a word that an event does not have is left out.
    data |= {key: value for key, value in payload.items() if value is not None}
    data |= {
        "event": captured.name,
        "root_url": origin.root_url,
        "client_address": origin.client_address,
        "user_agent": origin.user_agent,
        "request_id": origin.request_id,
    }
    if title := _title(captured.impacted[0]):
        data["title"] = title
    if captured.children:
        data["children"] = captured.children
    data |= captured.hooks or {}
    of_kinto = f"{wire.TYPE_PREFIX}.{payload.get('resource_name') or ''}.{payload.get('action')}"
    envelope = {
        "source": origin.root_url,
        "type": captured.name if further else of_kinto,
        "subject": parent_uri(container),
        "time": f"{datetime.fromtimestamp(captured.at / 1000, UTC).isoformat(timespec='milliseconds')[:-6]}Z",
    }
    return Told(envelope, data, [_change(item, container) for item in captured.impacted])


def _change(item: Mapping[str, Any], container: str) -> dict[str, Any]:
    """Describe one impacted object: its id and URI, and the states there are."""
    object_id = id_of(item)
    change: dict[str, Any] = {"id": object_id, "uri": f"{container}/{object_id}" if object_id else container}
    # Written out: a plural delete does this once for each of its objects.
    old, new = item.get("old"), item.get("new")
    if old is not None:
        change["old"] = old
    if new is not None:
        change["new"] = new
    return change


def _title(item: Mapping[str, Any]) -> str:
    """Return what a person would call the object, from its new state, or its old one where it was deleted."""
    for state in (item.get("new"), item.get("old")):
        if isinstance(state, dict):
            for name in _TITLES:
                value = state.get(name)
                if isinstance(value, str) and value.strip():
                    return value.strip()[:200]
    return ""
