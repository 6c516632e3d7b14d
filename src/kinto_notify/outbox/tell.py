"""What the entries of an event say: the envelope, the shared part of its data, and the changes.

In: a `Captured` event. Out: `Told`, with the names of the wire format. Never fails.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, id_of
from kinto_notify.outbox.resource import container_uri, parent_uri

#: Longer ones name nothing.
_MAX_TITLE = 200


class Told(NamedTuple):
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
    if captured.titles:
        data["title_fields"] = captured.titles
    if title := title_of(captured.impacted[0], captured.titles):
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


def title_of(item: Mapping[str, Any], hinted: Sequence[str]) -> str:
    """Return what a person would call the object, from its new state, or its old one where it was deleted."""
    for state in (item.get("new"), item.get("old")):
        if isinstance(state, dict):
            named = (_find(state, pointer) for pointer in hinted)
            for value in (*named, *(state.get(name) for name in wire.TITLE_FIELDS)):
                if (title := wire.title(value)) and title != wire.REDACTED:
                    return title[:_MAX_TITLE]
    return ""


def _find(state: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer of ours, which never goes into lists."""
    for step in pointer.split("/")[1:]:
        state = state.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(state, dict) else None
    return state
