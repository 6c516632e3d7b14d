"""The words of a mail: totals, subjects, names of people and times.

Pure. In: counters, ids, milliseconds. Out: short English phrases on one line, cut to a bound. Never fails: a timestamp
that no calendar knows has no words.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from kinto_notify.compose.plain import ELLIPSIS, one_line
from kinto_notify.digest import Line

#: What Kinto's actions are called when they are done; another event's action stands for itself.
PAST = {"create": "created", "update": "updated", "delete": "deleted"}
SYMBOLS = {"create": "+", "update": "~", "delete": "-"}
_ORDER = ("create", "update", "delete")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Clients show some 70 characters; a title gets what the rest leaves, and the whole stays under 200.
MAX_SUBJECT = 200
_MAX_SUBJECT_TITLE = 90
_MAX_NAME = 80
_MAX_USER = 60
#: Kinto's basic authentication names people by a hash of 64 hex digits; the first ones tell two apart.
_HASH_LENGTH = 64
_HASH_SHOWN = 8
#: A user id that is no longer than this is remembered: few people make most changes.
_MAX_KNOWN = 120


def plural(count: int, noun: str) -> str:
    """Return `1 record`, `12 records`, `1,000,000 entries`."""
    if count == 1:
        return f"1 {noun}"
    many = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"
    return f"{count:,} {many}"


@lru_cache(256)
def verb(action: str) -> str:
    """Return the past participle of an action."""
    return PAST.get(action) or one_line(action, _MAX_NAME) or "changed"


def split_counts(counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Return (resource, action, count), the commonest resource first, and within it the commonest action."""
    kinds = [(*key.partition(" ")[::2], count) for key, count in counts.items() if count > 0]
    sums: dict[str, int] = {}
    for resource, _, count in kinds:
        sums[resource] = sums.get(resource, 0) + count
    return sorted(kinds, key=lambda kind: (-sums[kind[0]], kind[0], -kind[2], _rank(kind[1]), kind[1]))


def totals(counts: Mapping[str, int]) -> str:
    """Return `12 records updated, 3 created, 1 collection created`."""
    said: list[str] = []
    before = None
    for resource, action, count in split_counts(counts):
        amount = f"{count:,}" if resource == before else plural(count, noun(resource))
        said.append(f"{amount} {verb(action)}")
        before = resource
    return ", ".join(said) or "Nothing changed"


@lru_cache(256)
def noun(resource: str) -> str:
    """Return a resource's name for people."""
    return one_line(resource.replace("_", " "), _MAX_NAME) or "change"


def subject(where: str, counts: Mapping[str, int], lines: Sequence[Line]) -> str:
    """Return the default subject: `[blog/articles] 12 records updated`; one change is told with its name and author."""
    if sum(counts.values()) == 1 and len(lines) == 1:
        line = lines[0]
        by = f" by {who(line.user_id)}" if line.user_id else ""
        told = f"{noun(line.resource_name)} {label(line, _MAX_SUBJECT_TITLE)} {verb(line.action)}{by}"
    else:
        told = totals(counts)
    return one_line(f"[{where}] {told}", MAX_SUBJECT)


def label(line: Line, limit: int = 120) -> str:
    """Return how a change's object is called: its title in quotes, else its id."""
    title = one_line(line.title, limit)
    return f'"{title}"' if title else one_line(line.id, limit) or "(no id)"


def who(user_id: str) -> str:
    """Return a user id short enough to read: of a long hash the beginning."""
    return _known(user_id) if len(user_id) <= _MAX_KNOWN else _who(user_id)


@lru_cache(1024)
def _known(user_id: str) -> str:
    return _who(user_id)


def _who(user_id: str) -> str:
    policy, colon, name = one_line(user_id).partition(":")
    if len(name) == _HASH_LENGTH and not set(name) - set("0123456789abcdef"):
        return f"{one_line(policy, _MAX_NAME)}:{name[:_HASH_SHOWN]}{ELLIPSIS}"
    return one_line(f"{policy}{colon}{name}", _MAX_USER)


def moment(stamp: int, zone: tzinfo) -> datetime | None:
    """Return the time of milliseconds since the epoch, or None if there is no such time: a client may write any."""
    try:
        return datetime.fromtimestamp(stamp // 1000, UTC).astimezone(zone) if stamp > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


def day(when: datetime) -> str:
    """Return `23 Nov 2026`, in English whatever the locale."""
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def clock(when: datetime) -> str:
    """Return `15:04:12`."""
    # By hand: strftime takes several times as long, and a digest has a hundred times.
    return f"{_minute(when)}:{when.second:02}"


def full(when: datetime | None) -> str:
    """Return `23 Nov 2026 15:04:12 UTC`, or nothing."""
    return f"{day(when)} {clock(when)} {when.tzname() or ''}".rstrip() if when else ""


def span(times: Sequence[datetime]) -> str:
    """Return from when to when, as short as it can be said."""
    if not times:
        return ""
    first, last = min(times), max(times)
    zone = f" {last.tzname() or ''}".rstrip()
    since, until = _minute(first), _minute(last)
    if first.date() != last.date():
        return f"{day(first)} {since} to {day(last)} {until}{zone}"
    return f"{day(first)}, {since}{zone}" if since == until else f"{day(first)}, {since} to {until}{zone}"


def _minute(when: datetime) -> str:
    return f"{when.hour:02}:{when.minute:02}"


def late(oldest: datetime | None, written: datetime | None) -> str:
    """Say how old the news of a mail is that was held up."""
    if oldest is None or written is None:
        return ""
    hours = max(round((written - oldest).total_seconds() / 3600), 1)
    age = plural(hours, "hour") if hours < 48 else plural(round(hours / 24), "day")
    return f"This mail is late: it was held up, and its oldest change was made {age} before it, on {full(oldest)}."


def actors(user_ids: Sequence[str], complete: bool) -> str:
    """Return who did it: up to two by name, `and 3 others`; who did what is not listed (not `complete`) is unknown."""
    names = list(dict.fromkeys(user_ids))
    shown = [who(name) for name in names[:2]]
    if not complete and shown:
        shown.append("perhaps others")
    elif len(names) > len(shown):
        shown.append(plural(len(names) - len(shown), "other"))
    return enumerate_words(shown)


def enumerate_words(words: Sequence[str]) -> str:
    """Return `one`, `one and two`, `one, two and three`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def _rank(action: str) -> int:
    return _ORDER.index(action) if action in _ORDER else len(_ORDER)
