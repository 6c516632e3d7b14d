"""What happened: one committed Kinto notification, read strictly from a stream entry.

In: the two fields of an entry. Out: a frozen `Event`. A reader of version 1 ignores what it does not know, so that an
older daemon reads a newer listener; another major version, or a missing or mistyped field, is a `MalformedEntry` whose
text names the fields and never shows their values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from kinto_notify.errors import MalformedEntry
from kinto_notify.wire import FIELD_EVENT, FIELD_VERSION, VERSION, id_time

#: A JSON object: a record, a collection, a bucket, a group.
JsonObject = dict[str, object]

#: Kinto's two names for a change: before the commit and after it. To a drop-in for kinto-emailer they are one.
RESOURCE_CHANGED = ("kinto.core.events.ResourceChanged", "kinto.core.events.AfterResourceChanged")
#: The words that filters and `group_by` may name.
FILTER_WORDS = (
    "event",
    "action",
    "resource_name",
    "bucket_id",
    "collection_id",
    "record_id",
    "group_id",
    "id",
    "user_id",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One impacted object of an event; `old` is absent on create, `new` absent or a tombstone on delete."""

    id: str
    uri: str = ""
    old: JsonObject | None = None
    new: JsonObject | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class CarriedHook:
    """A hook as it was written, found by the listener in the transaction of the event.

    `home` is the URI of the bucket or collection whose metadata holds it, under `key`, at `index`. `groups` are the
    members of the groups that it names, by URI, as Kinto stores them; `changes` the ids of the impacted objects that it
    was found for, None for all of them.
    """

    home: str
    hook: JsonObject
    key: str = "kinto-notify"
    index: int = 0
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    changes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """Kinto's payload and what the listener adds to it. `timestamp` is in milliseconds."""

    action: str
    resource_name: str
    changes: tuple[Change, ...]
    timestamp: int = 0
    user_id: str = ""
    uri: str = ""
    event: str = "kinto.core.events.ResourceChanged"
    bucket_id: str | None = None
    collection_id: str | None = None
    group_id: str | None = None
    record_id: str | None = None
    root_url: str = ""
    client_address: str | None = None
    user_agent: str | None = None
    total: int | None = None
    part: int = 1
    parts: int = 1
    truncated: bool = False
    request_id: str | None = None
    title: str | None = None
    title_fields: tuple[str, ...] = ()
    children: dict[str, int] = field(default_factory=dict)
    maybe: bool = False
    extra: dict[str, str | int | float | bool] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    hooks: tuple[CarriedHook, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the stream: CloudEvents names outside, Kinto's payload in `data`."""

    id: str
    source: str
    type: str
    data: Data
    time: str = ""
    subject: str = ""

    @property
    def made(self) -> int | None:
        """When its id was made, in milliseconds; None if the id is no UUIDv7 (another producer's)."""
        return id_time(self.id)


_adapter: TypeAdapter[Event] = TypeAdapter(Event)
#: More faults than these help nobody to mend an entry.
_SHOWN_FAULTS = 5


def parse_entry(fields: Mapping[bytes, bytes]) -> Event:
    """Read an entry's fields; `MalformedEntry` says what is wrong and where, without any of the content."""
    version = fields.get(FIELD_VERSION.encode())
    if version is None:
        raise MalformedEntry(f"entry without field {FIELD_VERSION!r}")
    major = version.split(b".")[0]
    if major != VERSION.encode():
        raise MalformedEntry(f"entry of version {major[:16].decode(errors='replace')!r}; this daemon reads {VERSION!r}")
    body = fields.get(FIELD_EVENT.encode())
    if body is None:
        raise MalformedEntry(f"entry without field {FIELD_EVENT!r}")
    return parse_event(body)


def parse_event(body: bytes | str) -> Event:
    """Read the JSON of an event; `MalformedEntry` as `parse_entry`."""
    try:
        return _adapter.validate_json(body)
    except ValidationError as fault:
        raise MalformedEntry(_explain(fault)) from None


def _explain(fault: ValidationError) -> str:
    """Say where and why, in one line. Input values stay out: they are a record's content."""
    told = fault.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(str(step) for step in one['loc']) or 'event'}: {one['msg']}" for one in told[:_SHOWN_FAULTS]]
    if len(told) > _SHOWN_FAULTS:
        lines.append(f"and {len(told) - _SHOWN_FAULTS} more")
    return "; ".join(lines)


def words(event: Event, change: Change) -> dict[str, str]:
    """Return the filter words that a change has (`FILTER_WORDS`, and `request_id` for `group_by`)."""
    data = event.data
    found = {
        "event": data.event,
        "action": data.action,
        "resource_name": data.resource_name,
        "bucket_id": data.bucket_id,
        "collection_id": data.collection_id,
        "group_id": data.group_id,
        "record_id": data.record_id,
        "user_id": data.user_id,
        "request_id": data.request_id,
    }
    # In a batch the payload names the first object only; the change itself is the truth.
    found[f"{data.resource_name}_id"] = change.id
    found["id"] = change.id
    return {word: value for word, value in found.items() if value}


def current(change: Change, action: str) -> JsonObject:
    """Return the object that filters on content look at: the new one, or the old one of a delete."""
    first, second = (change.old, change.new) if action == "delete" else (change.new, change.old)
    return first if first is not None else second if second is not None else {}
