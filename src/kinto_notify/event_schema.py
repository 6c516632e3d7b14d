"""The JSON Schema of what stands in the stream, for consumers in any language.

Pure. Out: one JSON document. It is written by hand, for what the listener writes is more than the daemon reads
(`event.Event`), and a consumer wants to know what each word means; a test holds both against each other.
"""

from collections.abc import Mapping

from kinto_notify.wire import DATA_SCHEMA, MAX_CHANGES, SPEC_VERSION, TYPE_PREFIX

Schema = dict[str, object]

_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_FLAG: Schema = {"type": "boolean", "default": False}
_STATE: Schema = {"type": ["object", "null"]}

_ENVELOPE: dict[str, tuple[Schema, str]] = {
    "specversion": ({"const": SPEC_VERSION}, "The version of CloudEvents whose names these are."),
    "id": (_TEXT, "A UUIDv7. The same id again is the same event: drop it."),
    "source": (_TEXT, "The root URL of the Kinto that it happened in."),
    "type": (
        _TEXT,
        f"{TYPE_PREFIX}.<resource_name>.<action>, or the dotted class name of a further Pyramid event.",
    ),
    "subject": (_TEXT, "The URI of what the changed objects are in: of a record, its collection."),
    "time": (_TEXT | {"format": "date-time"}, "When it was captured, in UTC."),
    "datacontenttype": ({"const": "application/json"}, "What `data` is."),
    "dataschema": ({"const": DATA_SCHEMA}, "The version of what `data` holds."),
}
_DATA: dict[str, tuple[Schema, str]] = {
    "action": (_TEXT, "create, update or delete."),
    "resource_name": (_TEXT, "bucket, collection, group or record."),
    "timestamp": ({"type": "integer"}, "Of the resource, in milliseconds since 1970."),
    "user_id": (_MAYBE_TEXT, "Who did it: the policy, a colon, the user. Absent where nobody was logged in."),
    "uri": (_TEXT, "Of the object; in a batch request, of its first."),
    "event": (_TEXT, "The dotted name of the Pyramid event's class."),
    "bucket_id": (_MAYBE_TEXT, "The bucket that it happened in, or that was changed."),
    "collection_id": (_MAYBE_TEXT, "The collection, if there is one."),
    "group_id": (_MAYBE_TEXT, "The group, if there is one; of several, the first."),
    "record_id": (_MAYBE_TEXT, "The record, if there is one; of several, the first."),
    "root_url": (_TEXT, "The root URL of the Kinto that it happened in."),
    "client_address": (_MAYBE_TEXT, "Where the request came from."),
    "user_agent": (_MAYBE_TEXT, "What sent the request."),
    "request_id": (_MAYBE_TEXT, "One for each HTTP request, all of a batch included."),
    "title": (_MAYBE_TEXT, "What people call the (first) object, where a field of it says so."),
    "title_fields": (
        {"type": "array", "items": {"type": "string"}},
        "JSON pointers to what people call an object, the best first, where the collection's metadata hints it.",
    ),
    "total": (_COUNT | {"type": ["integer", "null"]}, "How many changes the whole event has, all its parts together."),
    "part": (_COUNT | {"default": 1}, "Which part of a split event this is."),
    "parts": (_COUNT | {"default": 1}, "Into how many entries the event was split."),
    "truncated": (_FLAG, "Some object was too large and is cut to its id."),
    "maybe": (_FLAG, "Published after a crash, and nobody can tell any more whether it was committed."),
    "children": (
        {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
        "How many objects of each resource went with a deleted bucket or collection.",
    ),
    "settings": (
        {"type": "object", "additionalProperties": {"type": "string"}},
        "project_name, project_version and url of Kinto's settings, for the texts of hooks.",
    ),
    "extra": ({"type": "object"}, "Public scalar attributes of a further Pyramid event, such as a comment."),
    "hooks": ({"type": "array"}, "The hooks that stood in the metadata, resolved; only if hooks are on."),
}
_CHANGE: dict[str, tuple[Schema, str]] = {
    "id": (_TEXT, "The object's id."),
    "uri": (_TEXT, "The object's URI."),
    "old": (_STATE, "The object before; absent on create."),
    "new": (_STATE, "The object after; absent, or a tombstone, on delete."),
    "truncated": (_FLAG, "The object was too large: `old` or `new` hold the id alone."),
}


def event_schema() -> Schema:
    """Return the schema (draft 2020-12) of the JSON in an entry's field `event`."""
    changes: Schema = {
        "type": "array",
        "maxItems": MAX_CHANGES,
        "description": "The changed objects: all of one resource, one parent, one action.",
        "items": _described("One changed object.", _CHANGE, ("id", "uri")),
    }
    data = _described("Kinto's payload, and what the listener adds.", _DATA, ("action", "resource_name", "changes"))
    event = _described(
        "One committed change of Kinto, or several alike, in CloudEvents 1.0 structured form. "
        "Later versions may add properties: ignore what you do not know.",
        _ENVELOPE,
        ("specversion", "id", "source", "type", "data"),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": DATA_SCHEMA,
        "title": "kinto-notify event",
        **_with(event, "data", _with(data, "changes", changes)),
    }


def _described(text: str, properties: Mapping[str, tuple[Schema, str]], required: tuple[str, ...]) -> Schema:
    return {
        "type": "object",
        "description": text,
        "required": list(required),
        "properties": {name: {**schema, "description": told} for name, (schema, told) in properties.items()},
    }


def _with(schema: Schema, name: str, inner: Schema) -> Schema:
    """Add a property that is a schema of its own."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return {**schema, "properties": {**properties, name: inner}}
