"""What a hook in Kinto's metadata may hold, as it is written: the table of the operator's file, in two dialects.

In: a JSON object from under `kinto-notify` or `kinto-emailer`. Out: a table of parsed values. Fails with
`SubscriptionError`, which lists every problem. What a hook has beyond the file's table: groups as recipients, and texts
with placeholders. The dialect of kinto-emailer takes unknown keys and asks for what kinto-emailer 4.0.0 asks for.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field, PlainValidator, ValidationError

from kinto_notify import pointer
from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.digest import DigestRules
from kinto_notify.pattern import Filter, Word, parse_word
from kinto_notify.placeholder import Template, parse_template
from kinto_notify.pointer import Pointer
from kinto_notify.subscription_table import CommonTable
from kinto_notify.subscription_text import SubscriptionError, contradictions, explain

#: The metadata key of a drop-in's hooks, and of our own.
EMAILER = "kinto-emailer"
NOTIFY = "kinto-notify"
#: More than these in one hook is a mailing list in the wrong place.
MAX_RECIPIENTS = 1_000
#: kinto-emailer's subject of a hook that has none.
EMAILER_SUBJECT = "New message"
_FROM_RECORD = re.compile(r"\{new\[(/.*)\]\}\Z", re.DOTALL)
#: `\Z`, not `$`: a final line break is no part of a group's name.
_GROUP = re.compile(r"/buckets/([^/]+)/groups/([^/]+)\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
#: What kinto-emailer takes for an address: one in brackets, whatever follows it, or a bare one.
_BRACKETED = re.compile(r"(.*)<([^@<>\s]+@[^@<>\s]+)>")
_MAX_SUBJECT = 500


@dataclass(frozen=True, slots=True)
class Group:
    """A group as recipient: its URI may hold placeholders, but its bucket none."""

    text: str
    bucket: str
    uri: Template

    @property
    def fixed(self) -> bool:
        """Whether it is the same group for every change."""
        return not self.uri.names


def group_of(text: str) -> Group | None:
    """Read a group's URI; None if the text is none. `ValueError` if its placeholders are wrong."""
    found = _GROUP.match(text)
    return Group(text, found[1], parse_template(text)) if found else None


def is_group(text: str) -> bool:
    """Tell whether a text has the shape of a group's URI."""
    return _GROUP.match(text) is not None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - what pydantic collects is ValueError
    return value


def _one_line(value: object) -> str:
    text = _text(value)
    if _CONTROL.search(text):
        raise ValueError("must be one line, without control characters")
    return text


def _recipient(value: object) -> Mailbox | Pointer | Group:
    text = _one_line(value)
    if found := _FROM_RECORD.match(text):
        return pointer.parse(found[1])
    return group_of(text) or parse_mailbox(text)


def emailer_mailbox(text: str) -> Mailbox:
    """Read an address as kinto-emailer does: what follows the bracket is not looked at; `ValueError` if it is none."""
    found = _BRACKETED.match(text)
    return parse_mailbox(
        f"{found[1].strip(' ')} <{found[2]}>" if found and found[1].strip(" ") else found[2] if found else text
    )


def _emailer_recipient(value: object) -> Mailbox | Pointer | Group:
    text = _one_line(value)
    if found := _FROM_RECORD.match(text):
        return pointer.parse(found[1])
    return group_of(text) or emailer_mailbox(text)


def _emailer_sender(value: object) -> Mailbox | None:
    # null is as good as none to kinto-emailer, here and nowhere else.
    return None if value is None else emailer_mailbox(_one_line(value))


def _template(value: object) -> Template:
    return parse_template(_text(value))


def _subject(value: object) -> Template:
    text = _one_line(value)
    if len(text) > _MAX_SUBJECT:
        raise ValueError(f"must be one line of at most {_MAX_SUBJECT} characters")
    return parse_template(text)


def _emailer_word(value: object) -> Filter:
    """Read a filter of kinto-emailer: a text, or a pattern if it starts with `^`; no negation, no list."""
    text = _text(value)
    if text.startswith("^"):
        return Filter((parse_word(text),))
    return Filter((Word(text, negated=False, literal=text),))


def _read(read: Callable[[object], object]) -> PlainValidator:
    return PlainValidator(read, json_schema_input_type=str)


EmailerWord = Annotated[Filter | None, _read(_emailer_word)]


class HookTable(CommonTable):
    """A hook under `kinto-notify`."""

    recipients: list[Annotated[Mailbox | Pointer | Group, _read(_recipient)]] = Field(
        min_length=1, max_length=MAX_RECIPIENTS
    )
    subject: Annotated[Template | None, _read(_subject)] = None
    template: Annotated[Template | None, _read(_template)] = None


class EmailerTable(HookTable):
    """A hook under `kinto-emailer`: a drop-in, so what kinto-emailer never looked at is not looked at here."""

    model_config = ConfigDict(extra="ignore")

    recipients: list[Annotated[Mailbox | Pointer | Group, _read(_emailer_recipient)]] = Field(
        min_length=1, max_length=MAX_RECIPIENTS
    )
    template: Annotated[Template, _read(_template)]
    sender: Annotated[Mailbox | None, _read(_emailer_sender)] = None
    event: EmailerWord = None
    action: EmailerWord = None
    resource_name: EmailerWord = None
    collection_id: EmailerWord = None
    record_id: EmailerWord = None
    id: EmailerWord = None


def read_table(hook: Mapping[str, object], *, key: str, home: str, index: int, defaults: DigestRules) -> HookTable:
    """Read a hook as it is written, of either dialect; `SubscriptionError` lists all its problems."""
    label = f"{key} hook {index + 1}"
    try:
        table = (EmailerTable if key == EMAILER else HookTable).model_validate(hook)
    except ValidationError as fault:
        raise SubscriptionError([f"{label}: {line}" for line in explain(fault)]) from None
    problems = contradictions(table, defaults)
    bucket = home.split("/")[2] if home.startswith("/buckets/") else ""
    problems += [
        f"recipients: {one.text!r} is a group of another bucket"
        for one in table.recipients
        if isinstance(one, Group) and one.bucket != bucket
    ]
    if problems:
        raise SubscriptionError([f"{label}: {problem}" for problem in problems])
    return table
