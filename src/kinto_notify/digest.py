"""When it is due: the changes of one subscription, one group key and one audience.

Pure: `now` is an argument, in milliseconds of Redis `TIME`. A digest keeps *lines* (what a mail shows of a change) and
counters, never raw objects, so that its size has a bound and a retry composes the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from kinto_notify.address import Mailbox
from kinto_notify.diff import FieldDiff
from kinto_notify.timetable import Timetable

UTC = ZoneInfo("UTC")
#: The audience of a digest that all recipients of its subscription get alike.
EVERYONE = "*"
#: What `group_by` may name besides filter words: one mail for each change.
GROUP_BY_CHANGE = "change"
#: Each mail that follows at once on another makes the interval grow by this factor, up to `max_wait`.
INTERVAL_GROWTH = 1.5
#: A mail that was held up for so long says so: its reader would take it for news.
LATE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class DigestRules:
    """How long changes are gathered; all times in milliseconds.

    `timetable` says when a mail may go out, None at any time; `zone` is that of timetables which name none.
    """

    wait: int = 30_000
    interval: int = 300_000
    max_wait: int = 1_800_000
    max_events: int | None = None
    max_listed: int = 100
    group_by: tuple[str, ...] = ("bucket_id", "collection_id")
    collapse: bool = False
    timetable: Timetable | None = None
    zone: ZoneInfo = UTC


@dataclass(frozen=True, slots=True)
class Line:
    """What a mail shows of one change. `timestamp` is Kinto's `last_modified`, in milliseconds."""

    action: str
    resource_name: str
    id: str
    uri: str = ""
    title: str = ""
    user_id: str = ""
    timestamp: int = 0
    fields: tuple[FieldDiff, ...] = ()
    more_fields: int = 0
    truncated: bool = False
    maybe: bool = False
    children: tuple[tuple[str, int], ...] = ()
    #: What a hook's own subject and template say of this change, rendered when it was filed.
    subject: str | None = None
    text: str | None = None
    #: Fields differ that its subscription redacts.
    hidden: bool = False

    def encode(self) -> str:
        """Write as one compact JSON array; its first element is the version of the form."""
        return json.dumps(
            [
                1,
                self.action,
                self.resource_name,
                self.id,
                self.uri,
                self.title,
                self.user_id,
                self.timestamp,
                [[one.pointer, one.old, one.new] for one in self.fields],
                self.more_fields,
                int(self.truncated),
                int(self.maybe),
                self.children,
                self.subject,
                self.text,
                int(self.hidden),
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, text: str | bytes) -> "Line":
        """Read what `encode` wrote; further elements of a later minor form are ignored."""
        _, action, resource, ident, uri, title, user, stamp, fields, more, cut, maybe, children, *own = json.loads(text)
        return cls(
            action=action,
            resource_name=resource,
            id=ident,
            uri=uri,
            title=title,
            user_id=user,
            # One of more than fourteen digits comes out of `merge.lua` as 1e+17.
            timestamp=int(stamp),
            fields=tuple(FieldDiff(*one) for one in fields),
            more_fields=more,
            truncated=bool(cut),
            maybe=bool(maybe),
            children=tuple((name, count) for name, count in children),
            subject=own[0] if own else None,
            text=own[1] if len(own) > 1 else None,
            hidden=bool(own[2]) if len(own) > 2 else False,
        )


@dataclass(frozen=True, slots=True)
class DigestKey:
    """What makes two changes go into one digest. `once`, where it is not empty, keeps a change to itself."""

    identity: str
    text: str
    group: tuple[tuple[str, str], ...]
    audience: str = EVERYONE
    once: str = ""

    @property
    def id(self) -> str:
        """The digest's id: a hash of subscription identity, resolved text, group key and audience."""
        return _hash(self.identity, self.text, json.dumps(self.group), self.audience, *filter(None, [self.once]))

    @property
    def pace(self) -> str:
        """Name the memory of when this group was last mailed; it outlives an edit of the subscription's text."""
        return _hash(self.identity, json.dumps(self.group), self.audience)


@dataclass(frozen=True, slots=True)
class Filing:
    """What one event adds to one digest, atomically with its acknowledgement.

    `leaving`: who is no recipient of it any more, but stays one of a digest that is open already.
    """

    key: DigestKey
    rules: DigestRules
    recipients: tuple[Mailbox, ...]
    counts: Mapping[str, int]
    lines: tuple[str, ...]
    leaving: tuple[Mailbox, ...] = ()


@dataclass(frozen=True, slots=True)
class FrozenDigest:
    """A digest that takes nothing more. `frozen` is its date in every retry; `cursor` how many recipients are done.

    `oldest` is when the first of its changes was captured, by the clock of Kinto's host, `due` when it should have been
    frozen; 0 if nobody asks.
    """

    id: str
    key: DigestKey
    recipients: tuple[Mailbox, ...]
    counts: Mapping[str, int]
    lines: tuple[Line, ...]
    first: int
    frozen: int
    cursor: int = 0
    fence: int = 0
    #: `net`: lines and counters are of what is left of all changes; `raw`: too many objects for that.
    collapse: Literal["", "net", "raw"] = ""
    oldest: int = 0
    due: int = 0

    @property
    def late(self) -> bool:
        """Tell whether something held it up: on the way here, or when it was due. What a subscription waits is not."""
        held = self.first - self.oldest if self.oldest else 0
        return max(held, self.frozen - self.due if self.due else 0) >= LATE_MS

    @property
    def changes(self) -> int:
        """How many changes it tells of, listed or not."""
        return sum(self.counts.values())

    @property
    def group(self) -> dict[str, str]:
        """The group key as words."""
        return dict(self.key.group)


def count_key(resource_name: str, action: str) -> str:
    """Name the counter of a kind of change."""
    return f"{resource_name} {action}"


def group_key(group_by: Sequence[str], words: Mapping[str, str], change_id: str) -> tuple[tuple[str, str], ...]:
    """Return the group of a change as (word, value) pairs; a word that the change lacks has the empty value."""
    return tuple((word, change_id if word == GROUP_BY_CHANGE else words.get(word, "")) for word in group_by)


def _hash(*parts: str) -> str:
    """Hash parts so that no two lists of parts meet; 128 bits, as hex."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:32]
