"""Who wants it: which changes, for which recipients, shown how, gathered how long.

Pure. A subscription comes from the operator's file or from Kinto metadata (`subscription_text` reads both); its
identity is its home and its name, its text is everything about it but the recipients. Digests are kept apart by both.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from kinto_notify import pointer
from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.diff import differs
from kinto_notify.digest import EVERYONE, DigestRules
from kinto_notify.event import RESOURCE_CHANGED, Change, Event, current, words
from kinto_notify.hook_text import EMAILER_ABSENT, OwnTexts, context_of
from kinto_notify.pattern import Filter, PatternTimeout
from kinto_notify.placeholder import Template, render
from kinto_notify.pointer import MISSING, Pointer

#: The home of the operator's own subscriptions.
FILE_HOME = "file"
Content = Literal["full", "none"]
_T = TypeVar("_T")
#: More addresses than this in one record's field is a mailing list in the wrong place.
_MAX_FROM_RECORD = 100


@dataclass(frozen=True, slots=True)
class Presentation:
    """What the digester must know to compose: it is stored with the digest, so that an edit never mixes two texts."""

    home: str
    name: str
    subject: str | None = None
    template: str | None = None
    content: Content = "full"
    reply_to: str | None = None
    sender: str | None = None
    max_listed: int = 100

    @property
    def identity(self) -> str:
        """Home and name: what stays when the text is edited."""
        return identity(self.home, self.name)

    @classmethod
    def from_text(cls, text: str) -> "Presentation":
        """Read it out of a subscription's resolved text."""
        stored = json.loads(text)["presentation"]
        return cls(**{key: stored[key] for key in cls.__slots__ if key in stored})


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on the object's content: the value at `path` equals one of `values` or matches one of `patterns`."""

    path: Pointer
    values: tuple[object, ...]
    patterns: Filter | None = None

    def holds(self, document: object) -> bool:
        """Apply to an object; a missing value holds never."""
        found = pointer.find(document, self.path)
        if found is MISSING:
            return False
        if any((type(found) is type(value) and found == value) or _same_number(found, value) for value in self.values):
            return True
        return isinstance(found, str) and self.patterns is not None and self.patterns.holds(found)


@dataclass(frozen=True, slots=True)
class GroupOfChange:
    """A group as recipient that the change itself names: its URI, but for the bucket, holds placeholders."""

    bucket: str
    uri: Template

    def members(self, context: Mapping[str, object], known: Mapping[str, tuple[Mailbox, ...]]) -> tuple[Mailbox, ...]:
        """Return the members of the group that the context names, if it is one of `known` and of this bucket."""
        uri = render(self.uri, context).text
        return known.get(uri, ()) if uri.startswith(f"/buckets/{self.bucket}/groups/") else ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription, ready to be asked. `text` is its resolved form, `sender` and the like inside `presentation`."""

    presentation: Presentation
    recipients: tuple[Mailbox, ...]
    text: str
    rules: DigestRules = field(default_factory=DigestRules)
    from_record: tuple[Pointer, ...] = ()
    filters: tuple[tuple[str, Filter], ...] = ()
    where: tuple[Where, ...] = ()
    changed: tuple[Pointer, ...] = ()
    exclude_actor: bool = False
    redact: tuple[Pointer, ...] = ()
    #: Of hooks only: the texts they bring along, their groups, the impacted objects they were found for (None: all).
    own: OwnTexts | None = None
    groups: tuple[GroupOfChange, ...] = ()
    members: Mapping[str, tuple[Mailbox, ...]] = field(default_factory=dict)
    only: frozenset[str] | None = None

    @property
    def identity(self) -> str:
        """Home and name."""
        return self.presentation.identity

    def refuses(self, event: Event, change: Change, known: Mapping[str, str] | None = None) -> str | None:
        """Return None if the subscription wants this change, else the name of the first filter that does not hold.

        `known` are the change's filter words where the caller has them. Raises `PatternTimeout`, which names the
        filter, if one runs too long.
        """
        having = words(event, change) if known is None else known
        if self.only is not None and change.id not in self.only:
            return "home"
        for word, wanted in self.filters:
            if not any(_holds(word, wanted.holds, value) for value in self._values(word, having)):
                return word
        if self.where:
            document = current(change, event.data.action)
            for condition in self.where:
                name = f"where {pointer.text(condition.path)}"
                if not _holds(name, condition.holds, document):
                    return name
        if self.changed and not any(_changed(event, change, path) for path in self.changed):
            return "changed"
        return None

    def audiences(self, event: Event, change: Change) -> Iterator[tuple[str, tuple[Mailbox, ...]]]:
        """Yield who hears of this change: `*` with all recipients, or one address each where what they see differs."""
        listed = self.recipients + self._of_groups(event, change)
        if self.exclude_actor:
            actor = actor_address(event.data.user_id)
            for mailbox in listed:
                if mailbox.key != actor:
                    yield mailbox.key, (mailbox,)
        elif listed:
            yield EVERYONE, listed
        if self.from_record:
            known = {mailbox.key for mailbox in listed}
            document = current(change, event.data.action)
            for mailbox in _from_record(document, self.from_record):
                if mailbox.key not in known and not (
                    self.exclude_actor and mailbox.key == actor_address(event.data.user_id)
                ):
                    known.add(mailbox.key)
                    yield mailbox.key, (mailbox,)

    def _values(self, word: str, having: Mapping[str, str]) -> tuple[str | None, ...]:
        """Return what a filter word may be: kinto-emailer's dialect takes both of Kinto's names for a change."""
        value = having.get(word)
        if self.own is None or not self.own.emailer:
            return (value,)
        if value is None:
            return (EMAILER_ABSENT.get(word),)
        return RESOURCE_CHANGED if value in RESOURCE_CHANGED else (value,)

    def _of_groups(self, event: Event, change: Change) -> tuple[Mailbox, ...]:
        """Return the members of the groups that this change names, but for who is listed anyway."""
        if not self.groups:
            return ()
        context = context_of(event, change, emailer=self.own is not None and self.own.emailer)
        known = {mailbox.key for mailbox in self.recipients}
        found: dict[str, Mailbox] = {}
        for group in self.groups:
            for mailbox in group.members(context, self.members):
                if mailbox.key not in known:
                    found.setdefault(mailbox.key, mailbox)
        return tuple(found.values())


def _holds(name: str, holds: Callable[[_T], bool], value: _T) -> bool:
    """Ask one filter; a time-out of its pattern is told with its name."""
    try:
        return holds(value)
    except PatternTimeout as fault:
        raise PatternTimeout(f"{name}: {fault}") from None


def identity(home: str, name: str) -> str:
    """Join home and name; a URI holds no `#`."""
    return f"{home}#{name}"


def actor_address(user_id: str) -> str:
    """Return what follows the policy's name in a user id (`account:alice@example.org`), casefolded as `Mailbox.key`."""
    return user_id.partition(":")[2].casefold()


def resolved_text(presentation: Presentation, rest: Mapping[str, object]) -> str:
    """Write a subscription's text: canonical JSON, so that equal subscriptions of two daemons have equal text."""
    stored = {key: getattr(presentation, key) for key in Presentation.__slots__}
    return json.dumps({"v": 1, "presentation": stored, **rest}, sort_keys=True, ensure_ascii=False)


def _changed(event: Event, change: Change, path: Pointer) -> bool:
    # A delete's tombstone is no new value: everything the object had is gone with it.
    after = None if event.data.action == "delete" else change.new
    return differs(change.old, after, path)


def _same_number(found: object, value: object) -> bool:
    """1 in a record equals 1.0 in a file, but never true."""
    numbers = (int, float)
    if isinstance(found, bool) or isinstance(value, bool):
        return False
    return isinstance(found, numbers) and isinstance(value, numbers) and found == value


def _from_record(document: object, paths: tuple[Pointer, ...]) -> Iterator[Mailbox]:
    """Yield the addresses found at the pointers (a string or a list of them); what is no address is passed over."""
    for path in paths:
        found = pointer.find(document, path)
        for text in (found if isinstance(found, list) else [found])[:_MAX_FROM_RECORD]:
            if isinstance(text, str):
                try:
                    yield parse_mailbox(text)
                except ValueError:
                    continue
