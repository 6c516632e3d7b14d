"""A hook's own subject and body, rendered for one change: what its placeholders stand for.

Pure. In: an event, one of its changes, the templates of a subscription. Out: texts, bounded, and the names of what the
templates asked for in vain. The context is that of kinto-emailer, each change with its own `uri` and ids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kinto_notify import pointer
from kinto_notify.event import Change, Event
from kinto_notify.placeholder import Template, render
from kinto_notify.pointer import Pointer

#: Of the longest subject a header line of 998 octets is far away.
_MAX_SUBJECT = 200
#: What kinto-emailer renders where the change has no such word (Kinto/kinto#945).
EMAILER_ABSENT = {"record_id": "{record_id}", "collection_id": "{collection_id}"}
_MARKER = "[redacted]"
#: What the texts of all hooks may cost for one event, about in characters; each hook has its share. Five hundred
#: changes with a text of 64 KB each, and a hundred such hooks, would cost minutes and gigabytes.
EVENT_WORK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OwnTexts:
    """The texts that a hook brings along; None where it has none, and the usual mail is made."""

    subject: Template | None = None
    text: Template | None = None
    #: Whether to render as kinto-emailer does what it renders in its own way.
    emailer: bool = False


@dataclass(frozen=True, slots=True)
class RenderedTexts:
    """The texts for one change; neither of them where the hook has none, or where the event's share is `spent`."""

    subject: str | None = None
    text: str | None = None
    missing: tuple[str, ...] = ()
    spent: bool = False


class Scribe:
    """Renders a hook's texts for the changes of one event, until they have cost `work`.

    Without `full` they say nothing of the objects' data.
    """

    def __init__(self, own: OwnTexts, event: Event, *, redact: tuple[Pointer, ...], full: bool, work: int) -> None:
        self._own = own
        self._event = event
        self._objects = Objects(event, redact) if full else None
        self._work = work

    def render(self, change: Change) -> RenderedTexts:
        """Render for one change; neither text once the work is spent: the change is told in our words then."""
        if self._work <= 0:
            return RenderedTexts(spent=True)
        context = context_of(self._event, change, self._objects, emailer=self._own.emailer)
        subject = None if self._own.subject is None else render(self._own.subject, context)
        text = None if self._own.text is None else render(self._own.text, context)
        made = [one for one in (subject, text) if one is not None]
        self._work -= sum(one.work for one in made)
        return RenderedTexts(
            None if subject is None else subject.text[:_MAX_SUBJECT],
            None if text is None else text.text,
            tuple(name for one in made for name in one.missing),
        )


class Objects:
    """What `impacted_objects` stands for in one event, made once, and only if a text asks for it."""

    def __init__(self, event: Event, redact: tuple[Pointer, ...]) -> None:
        self._changes = event.data.changes
        self._redact = redact
        self._made: list[dict[str, object]] | None = None

    def made(self) -> list[dict[str, object]]:
        """Return them."""
        if self._made is None:
            self._made = [_impacted(change, self._redact) for change in self._changes]
        return self._made


def context_of(
    event: Event, change: Change, objects: Objects | None = None, *, emailer: bool = False
) -> Mapping[str, object]:
    """Return what placeholders may name; without `objects` nothing of the objects' data."""
    data = event.data
    context: dict[str, object] = {
        **(data.extra if objects is not None else {}),
        "event": data.event,
        "root_url": data.root_url,
        "client_address": data.client_address,
        "user_agent": data.user_agent,
        "settings": data.settings,
        "timestamp": data.timestamp,
        "action": data.action,
        "uri": change.uri or data.uri,
        "user_id": data.user_id,
        "resource_name": data.resource_name,
        "bucket_id": data.bucket_id,
        "collection_id": data.collection_id,
        "group_id": data.group_id,
        "record_id": data.record_id,
        "id": change.id,
        f"{data.resource_name}_id": change.id,
    }
    present = {key: value for key, value in context.items() if value is not None}
    if emailer:
        present = {**EMAILER_ABSENT, **present}
    return present if objects is None else _WithObjects(present, objects)


class _WithObjects(Mapping[str, object]):
    """A context that holds `impacted_objects` too."""

    def __init__(self, context: Mapping[str, object], objects: Objects) -> None:
        self._context = context
        self._objects = objects

    def __getitem__(self, name: str) -> object:
        if name == "impacted_objects":
            return self._objects.made()
        return self._context[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._context
        yield "impacted_objects"

    def __len__(self) -> int:
        return len(self._context) + 1


def _impacted(change: Change, redact: tuple[Pointer, ...]) -> dict[str, object]:
    return {
        side: _redacted(document, redact)
        for side, document in (("new", change.new), ("old", change.old))
        if document is not None
    }


def _redacted(document: object, redact: tuple[Pointer, ...], path: Pointer = ()) -> object:
    """Copy what leads to a redacted value, and only that."""
    if not any(hidden[: len(path)] == path for hidden in redact):
        return document
    if pointer.covers(redact, path):
        return _MARKER
    if isinstance(document, dict):
        return {key: _redacted(value, redact, (*path, str(key))) for key, value in document.items()}
    if isinstance(document, list):
        return [_redacted(value, redact, (*path, str(index))) for index, value in enumerate(document)]
    return document
