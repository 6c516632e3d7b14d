"""What a subscription may hold, as it is written: the one schema of the operator's TOML and of Kinto's metadata.

In: a table of TOML or JSON. Out: a `SubscriptionTable` of parsed values. Fails with pydantic's `ValidationError`, of
which `subscription_text` makes lines for people. `kinto-notify schema --subscriptions` prints it as JSON Schema.
"""

import math
import re
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from kinto_notify import pointer
from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.digest import GROUP_BY_CHANGE
from kinto_notify.duration import parse_duration
from kinto_notify.event import FILTER_WORDS
from kinto_notify.nearest import nearest
from kinto_notify.pattern import Filter, parse_filter
from kinto_notify.pointer import Pointer
from kinto_notify.schedule import parse_days, parse_quiet, parse_time, parse_zone
from kinto_notify.subscription import Content, Where

#: What `group_by` takes.
GROUP_WORDS = (*FILTER_WORDS, "request_id", GROUP_BY_CHANGE)
#: Longer ones can't be listed in a mail of 100 KB, nor read by anybody.
MAX_LISTED = 1_000
#: A name stands in list ids, labels and command lines.
_NAME = re.compile(r"[^\s\x00-\x1f\x7f#](?:[^\x00-\x1f\x7f#]{0,98}[^\s\x00-\x1f\x7f#])?\Z")
#: `{new[/author/email]}`: the address stands in the record.
_FROM_RECORD = re.compile(r"\{new\[(/.*)\]\}\Z", re.DOTALL)
_GROUP = re.compile(r"/buckets/[^/]+/groups/[^/]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_MAX_SUBJECT = 500
_T = TypeVar("_T")


def _of_text(read: Callable[[str], _T]) -> Callable[[object], _T]:
    """Make a reader of text refuse everything else."""

    def checked(value: object) -> _T:
        if not isinstance(value, str):
            raise ValueError("must be text, in quotes")  # noqa: TRY004 - what pydantic collects is ValueError
        return read(value)

    return checked


def _of_texts(read: Callable[[list[str]], _T]) -> Callable[[object], _T]:
    """Make a reader of a list of texts take a single text too."""

    def checked(value: object) -> _T:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValueError("must be text, or a list of texts")
        return read(listed)

    return checked


def _name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError("must have 1 to 100 characters, no '#', no line break, no blank at an end")
    return text


def _line(text: str) -> str:
    if _CONTROL.search(text) or len(text) > _MAX_SUBJECT:
        raise ValueError(f"must be one line of at most {_MAX_SUBJECT} characters")
    return text


def _recipient(text: str) -> Mailbox | Pointer:
    """Read an address, or the pointer to where one stands in the record."""
    if found := _FROM_RECORD.match(text):
        return pointer.parse(found[1])
    if _GROUP.match(text):
        raise ValueError(f"{text!r}: groups work in hooks of Kinto's metadata only; list the addresses")
    return parse_mailbox(text)


def _pointers(texts: list[str]) -> tuple[Pointer, ...]:
    return tuple(dict.fromkeys(pointer.parse(text) for text in texts))


def _group_by(texts: list[str]) -> tuple[str, ...]:
    for text in texts:
        if text not in GROUP_WORDS:
            hint = nearest(text, GROUP_WORDS) or f"; use some of {', '.join(GROUP_WORDS)}"
            raise ValueError(f"{text!r} is nothing to group by{hint}")
    return tuple(dict.fromkeys(texts))


def _where(value: object) -> tuple[Where, ...]:
    """Read `{"/pointer" = value, "^regex", or a list of them}`."""
    if not isinstance(value, dict) or not value:
        raise ValueError('must be a table like { "/status" = "published" }')
    return tuple(_condition(str(path), wanted) for path, wanted in sorted(value.items(), key=lambda one: str(one[0])))


def _condition(path: str, wanted: object) -> Where:
    listed = wanted if isinstance(wanted, list) else [wanted]
    if not listed:
        raise ValueError(f"{path}: an empty list matches nothing")
    values: list[object] = []
    patterns: list[str] = []
    for one in listed:
        if isinstance(one, str) and one.startswith("^"):
            patterns.append(one)
        elif one is None or isinstance(one, (str, bool, int)) or (isinstance(one, float) and math.isfinite(one)):
            values.append(one)
        else:
            raise ValueError(f"{path}: a value is text, a finite number, true or false, or a list of these")
    try:
        return Where(pointer.parse(path), tuple(values), parse_filter(patterns) if patterns else None)
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}") from None


Texts = str | list[str]
Words = Annotated[Filter | None, PlainValidator(_of_texts(parse_filter), json_schema_input_type=Texts)]
Pointers = Annotated[tuple[Pointer, ...], PlainValidator(_of_texts(_pointers), json_schema_input_type=Texts)]
Duration = Annotated[int | None, PlainValidator(_of_text(parse_duration), json_schema_input_type=str)]
Address = Annotated[Mailbox | None, PlainValidator(_of_text(parse_mailbox), json_schema_input_type=str)]
Line = Annotated[str | None, PlainValidator(_of_text(_line), json_schema_input_type=str)]


class _Table(BaseModel):
    #: Strict: "yes" is no truth and "3" no number; a slip shall not pass as something else.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class DigestTable(_Table):
    """How long changes are gathered before they are mailed."""

    wait: Duration = Field(None, description="From the first change to the mail")
    interval: Duration = Field(None, description="At least between two mails of a group")
    max_wait: Duration = Field(None, description="The interval grows up to this while changes keep coming")
    max_events: int | None = Field(None, ge=1, description="Due at once when so many are in it")
    max_listed: int | None = Field(None, ge=0, le=MAX_LISTED, description="So many in detail; totals are of all")
    group_by: Annotated[
        tuple[str, ...] | None,
        PlainValidator(_of_texts(_group_by), json_schema_input_type=Texts),
        Field(description=f"One mail for each value of these: {', '.join(GROUP_WORDS)}"),
    ] = None
    at: Annotated[
        tuple[int, ...],
        PlainValidator(_of_texts(lambda texts: tuple(map(parse_time, texts))), json_schema_input_type=Texts),
        Field(description="Times of day, 09:00"),
    ] = ()
    days: Annotated[
        frozenset[int],
        PlainValidator(_of_text(parse_days), json_schema_input_type=str),
        Field(description="Week days, mon-fri,sun"),
    ] = frozenset()
    timezone: Annotated[
        ZoneInfo | None,
        PlainValidator(_of_text(parse_zone), json_schema_input_type=str),
        Field(description="Of `at`, `days` and `quiet`, Europe/Paris"),
    ] = None
    quiet: Annotated[
        tuple[int, int] | None,
        PlainValidator(_of_text(parse_quiet), json_schema_input_type=str),
        Field(description="Hours without mails, 22:00-07:00"),
    ] = None
    collapse: Literal["none", "net"] = Field("none", description="net: only what differs in the end, by object")
    urgent: bool = Field(False, description="None of this applies: one mail for each change, at once")


class CommonTable(_Table):
    """What a subscription may hold in either home."""

    name: Annotated[
        str | None, PlainValidator(_of_text(_name), json_schema_input_type=str), Field(description="Unique in its home")
    ] = None
    event: Words = Field(None, description="The event's dotted class name")
    action: Words = Field(None, description="create, update or delete")
    resource_name: Words = Field(None, description="bucket, collection, group or record")
    bucket_id: Words = None
    collection_id: Words = None
    record_id: Words = None
    group_id: Words = None
    id: Words = Field(None, description="The object's id, of whatever resource")
    user_id: Words = Field(None, description="Who did it, account:alice")
    where: Annotated[
        tuple[Where, ...],
        PlainValidator(_where, json_schema_input_type=dict[str, object]),
        Field(description="JSON pointer → value, ^regex or list of them, in the new object (the old one of a delete)"),
    ] = ()
    changed: Pointers = Field((), description="JSON pointers, at least one of which differs")
    exclude_actor: bool = Field(False, description="Not to the recipient who did it")
    content: Content = Field("full", description="none: says that something changed and where, no data")
    redact: Pointers = Field((), description="JSON pointers whose values are never shown")
    reply_to: Address = None
    sender: Address = None
    urgent: bool = Field(False, description="The digest does not apply: one mail for each change, at once")
    digest: DigestTable = DigestTable()


class SubscriptionTable(CommonTable):
    """Which changes, for which recipients, shown how, gathered how long: as the operator writes it."""

    recipients: list[Annotated[Mailbox | Pointer, PlainValidator(_of_text(_recipient), json_schema_input_type=str)]] = (
        Field(min_length=1, description="Addresses, `Name <address>`, or {new[/json/pointer]}")
    )
    subject: Line = None
    template: Annotated[
        str | None, Field(min_length=1, max_length=65_536, description="Name of a template on disk")
    ] = None


class FileTable(_Table):
    """The operator's file: who hears of what."""

    subscription: list[SubscriptionTable] = Field(default=[], description="[[subscription]], once for each")


class _AsWritten(GenerateJsonSchema):
    """The schema of what is written: a key that is left out is left out, not null or some parsed default."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def file_schema() -> dict[str, object]:
    """Return the JSON Schema of the operator's file; hooks in metadata have the same keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FileTable.model_json_schema(schema_generator=_AsWritten),
        "title": "kinto-notify subscriptions",
    }
