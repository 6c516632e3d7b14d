"""What templates see of a digest: names, phrases and links, ready to be shown.

Pure. In: a frozen digest, the time zone and the address of Kinto Admin. Out: a frozen `View` of strings that are one
line each and bounded, whatever a record held. `docs/templates.md` documents it; its names are public.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from operator import attrgetter

from kinto_notify.compose import phrases
from kinto_notify.compose.places import Place, admin_link, common_place, records_link
from kinto_notify.compose.plain import one_line, value_line
from kinto_notify.diff import FieldDiff, cut_middle
from kinto_notify.digest import FrozenDigest, Line
from kinto_notify.subscription import FILE_HOME, Presentation

_MAX_ID = 120
_MAX_URI = 300
_MAX_FIELD_NAME = 80
#: Two values that are longer than this together are shown one under the other.
_LONG_VALUES = 64
_MAX_CHILDREN = 8
NOTE_TRUNCATED = "Too large to be shown: only its id is known here."
NOTE_MAYBE = "May not have been committed: published after a crash of a Kinto process."
NOTE_NET = "Of each object only what changed in the end is told: what was undone again is left out."
NOTE_RAW = "Too many objects changed to tell what each came to in the end: the totals count every change."
NOTE_UNCHANGED = "Saved again; no visible field changed."
NOTE_HIDDEN = "Changed in fields that are not shown here."


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a change; `kind` is added, removed or changed, `symbol` is `+`, `-` or `~`."""

    name: str
    pointer: str
    kind: str
    symbol: str
    old: str
    new: str
    long: bool


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One listed change."""

    action: str
    verb: str
    symbol: str
    resource: str
    id: str
    uri: str
    title: str
    label: str
    user_id: str
    who: str
    when: str
    clock: str
    timestamp: int
    link: str
    fields: tuple[FieldView, ...]
    more_fields: int
    truncated: bool
    maybe: bool
    children: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CountView:
    """How many of one kind, listed or not."""

    resource: str
    action: str
    verb: str
    count: int


@dataclass(frozen=True, slots=True)
class View:
    """A digest as its mail tells it; `more` changes are counted but not listed."""

    where: str
    bucket_id: str
    collection_id: str
    group: dict[str, str]
    totals: str
    counts: tuple[CountView, ...]
    total: int
    changes: tuple[ChangeView, ...]
    more: int
    span: str
    actors: str
    link: str
    content: str
    subscription: str
    home: str
    reason: str
    contact: str
    #: How the totals are to be read, where that is not plain.
    note: str = ""
    #: That the mail was held up; else empty.
    late: str = ""
    #: The recipient's own page, or nothing.
    unsubscribe: str = ""
    #: The text that a hook brought along, instead of the changes.
    own_text: str | None = None
    #: The relay would not take the mail with its details.
    summary: bool = False

    def context(self) -> dict[str, object]:
        """Return it as the variables of a template."""
        return dict(zip(_NAMES, _values(self), strict=True))


_NAMES = tuple(one.name for one in fields(View))
_values = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is listed; less than the digest holds where the mail would grow too large."""

    lines: int
    fields: int


def view(
    digest: FrozenDigest,
    presentation: Presentation,
    contact: str,
    zone: tzinfo,
    admin_url: str | None,
    limits: Limits,
) -> View:
    """Turn a digest into what its mail shows."""
    complete = len(digest.lines) >= digest.changes
    place = common_place(digest.group, (line.uri for line in digest.lines), complete)
    listed = digest.lines[: limits.lines]
    moments = [when for line in digest.lines if (when := phrases.moment(line.timestamp, zone))]
    one_day = len({when.date() for when in moments}) == 1
    # What is not listed happened until now, for all we know.
    until = [] if complete else [phrases.moment(digest.frozen, zone)]
    users = [line.user_id for line in digest.lines if line.user_id]
    return View(
        where=place.name,
        bucket_id=one_line(place.bucket, _MAX_ID),
        collection_id=one_line(place.collection, _MAX_ID),
        group={one_line(word, _MAX_ID): one_line(value, _MAX_ID) for word, value in digest.group.items()},
        totals=phrases.totals(digest.counts),
        counts=tuple(
            CountView(phrases.noun(resource), one_line(action, _MAX_ID), phrases.verb(action), count)
            for resource, action, count in phrases.split_counts(digest.counts)
        ),
        total=digest.changes,
        changes=tuple(_change(line, presentation, zone, admin_url, limits.fields, one_day) for line in listed),
        more=max(digest.changes - len(listed), 0),
        span=phrases.span(moments + [when for when in until if when]),
        actors=phrases.actors(users, complete),
        link=records_link(admin_url, place),
        content=presentation.content,
        subscription=one_line(presentation.name, _MAX_ID),
        home=home_phrase(presentation.home),
        reason=_reason(presentation),
        contact=contact,
        late=_late(digest, zone) if digest.late else "",
        note={"net": NOTE_NET, "raw": NOTE_RAW}.get(digest.collapse, ""),
    )


def _late(digest: FrozenDigest, zone: tzinfo) -> str:
    return phrases.late(phrases.moment(digest.oldest or digest.first, zone), phrases.moment(digest.frozen, zone))


def home_phrase(home: str) -> str:
    """Say where a subscription is written down."""
    if home == FILE_HOME:
        return "the operator's configuration"
    place = common_place({}, [home], complete=True)
    if place == Place():
        return one_line(home, _MAX_ID)
    return f"the metadata of the {'collection' if place.collection else 'bucket'} {place.name}"


def _reason(presentation: Presentation) -> str:
    name = one_line(presentation.name, _MAX_ID)
    return f'your address is in the subscription "{name}", in {home_phrase(presentation.home)}'


def _change(
    line: Line, presentation: Presentation, zone: tzinfo, admin_url: str | None, max_fields: int, one_day: bool
) -> ChangeView:
    when = phrases.moment(line.timestamp, zone)
    shown = tuple(_field(one) for one in line.fields[:max_fields])
    return ChangeView(
        action=one_line(line.action, _MAX_ID),
        verb=phrases.verb(line.action),
        symbol=phrases.SYMBOLS.get(line.action, "*"),
        resource=phrases.noun(line.resource_name),
        id=one_line(line.id, _MAX_ID),
        uri=cut_middle(one_line(line.uri), _MAX_URI),
        title=one_line(line.title, _MAX_ID),
        label=phrases.label(line),
        user_id=one_line(line.user_id, _MAX_ID),
        who=phrases.who(line.user_id),
        when=phrases.full(when),
        clock=_clock(when, one_day),
        timestamp=line.timestamp,
        link=admin_link(admin_url, line.uri) if line.action != "delete" else "",
        fields=shown,
        more_fields=line.more_fields + len(line.fields) - len(shown),
        truncated=line.truncated,
        maybe=line.maybe,
        children=_children(line.children),
        notes=_notes(line, presentation),
    )


def _clock(when: datetime | None, one_day: bool) -> str:
    """Return the time alone where the day is said above."""
    if when is None:
        return ""
    return phrases.clock(when) if one_day else f"{phrases.day(when)} {phrases.clock(when)}"


def _field(one: FieldDiff) -> FieldView:
    kind, symbol = ("added", "+") if one.old is None else ("removed", "-") if one.new is None else ("changed", "~")
    old, new = (value_line(cut_middle(value)) if value is not None else "" for value in (one.old, one.new))
    name = one_line(one.pointer.removeprefix("/"), _MAX_FIELD_NAME) or '""'
    pointer = one_line(one.pointer, _MAX_FIELD_NAME)
    return FieldView(name, pointer, kind, symbol, old, new, kind == "changed" and len(old) + len(new) > _LONG_VALUES)


def _children(children: Sequence[tuple[str, int]]) -> str:
    """Return `with 2 collections and 310 records`."""
    said = [phrases.plural(count, phrases.noun(name)) for name, count in children[:_MAX_CHILDREN] if count > 0]
    return f"with {phrases.enumerate_words(said)}" if said else ""


def _notes(line: Line, presentation: Presentation) -> tuple[str, ...]:
    notes = []
    if line.maybe:
        notes.append(NOTE_MAYBE)
    if line.truncated:
        notes.append(NOTE_TRUNCATED)
    elif line.action == "update" and presentation.content == "full" and not line.fields and not line.more_fields:
        notes.append(NOTE_HIDDEN if line.hidden else NOTE_UNCHANGED)
    return tuple(notes)
