"""Which fields of a record hold what people call it, as its collection's metadata hints.

In: an event as Kinto hands it to a listener. Out: JSON pointers, the best first, none where nothing is hinted. Kinto
has read the metadata for the request already: nothing is asked of storage. Never fails on what metadata holds.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from kinto_notify import wire

logger = logging.getLogger(__name__)

#: More than these say no more: the first that has a value counts.
_MAX_HINTS = 8
_MAX_LOOKED_AT = 100
_MAX_NAME = 80
#: Columns that Kinto Admin offers and that name nothing.
_NO_NAMES = frozenset({"", "id", "last_modified", "schema", "__json"})
#: Collections whose hints are remembered.
_MAX_KNOWN = 1_000


class Naming:
    """Remembers the hints of each version of a collection: a write must not read a schema each time."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, object], tuple[str, ...]] = {}

    def of(self, event: Any) -> tuple[str, ...]:
        """Return the hints for an event's objects; none, with a line in the log, where we fail."""
        try:
            payload = getattr(event, "payload", None)
            # Cliquet, and a further event of somebody else's, have nothing bound.
            bound = getattr(getattr(event, "request", None), "bound_data", None)
            if not payload or not bound or payload.get("resource_name") != "record":
                return ()
            uri = f"/buckets/{payload.get('bucket_id')}/collections/{payload.get('collection_id')}"
            metadata = bound.get("collections", {}).get(uri)
            # Not of Mapping: asking an abstract class costs a write more than all else here.
            if not isinstance(metadata, dict) or not ("displayFields" in metadata or "schema" in metadata):
                return ()
            version = (uri, metadata.get("last_modified"))
            found = self._known.get(version)
            return self._learn(version, metadata) if found is None else found
        except Exception:
            logger.exception("kinto-notify could not learn how the objects of %r are called", event)
            return ()

    def _learn(self, version: tuple[str, object], metadata: Mapping[str, Any]) -> tuple[str, ...]:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        found = self._known[version] = hints(metadata)
        return found


def hints(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that Kinto Admin shows, then what the schema says; of both the common names first."""
    shown = [name for name in _texts(metadata.get("displayFields")) if name not in _NO_NAMES]
    schema = _mapping(metadata.get("schema"))
    properties = _mapping(schema.get("properties"))
    common = [name for name in wire.TITLE_FIELDS if name in properties]
    names = [*sorted(shown, key=_rank), *common, *_required(schema, properties, _mapping(metadata.get("uiSchema")))]
    pointers = dict.fromkeys(pointer for name in names for pointer in _pointers(name))
    return tuple(pointers)[:_MAX_HINTS]


def _required(schema: Mapping[str, Any], properties: Mapping[str, Any], form: Mapping[str, Any]) -> list[str]:
    """Return the free texts that every record must have, in the order of the form.

    PostgreSQL does not keep the order of properties; that of the two lists it does.
    """
    order = list(_texts(form.get("ui:order")))
    required = [name for name in _texts(schema.get("required")) if _free_text(properties.get(name))]
    return sorted(required, key=lambda name: order.index(name) if name in order else len(order))


def _free_text(rule: object) -> bool:
    """Tell whether a property is a text of its writer's choice: no date, no address, none of a few words."""
    return isinstance(rule, Mapping) and rule.get("type") == "string" and not rule.keys() & {"enum", "const", "format"}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rank(name: str) -> int:
    return wire.TITLE_FIELDS.index(name) if name in wire.TITLE_FIELDS else len(wire.TITLE_FIELDS)


def _texts(listed: object) -> Iterator[str]:
    if isinstance(listed, list):
        yield from (one for one in listed[:_MAX_LOOKED_AT] if isinstance(one, str) and len(one) <= _MAX_NAME)


def _pointers(name: str) -> Iterator[str]:
    """Write a column as a pointer: `author.name` is a field of that name or, as in Kinto Admin, a nested one."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    yield f"/{escaped}"
    if "." in name:
        yield "/" + escaped.replace(".", "/")
