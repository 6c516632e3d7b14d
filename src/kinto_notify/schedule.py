"""The words of a digest's clock: `09:00`, `mon-fri,sun`, `22:00-07:00`, `Europe/Paris`.

Pure, but for the time zone database of the system (or the `tzdata` package). In: text from a setting or a subscription.
Out: minutes of the day, week days (Monday is 0), a time zone. Fails with `ValueError` that says how to write it.
"""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from kinto_notify.nearest import nearest

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\Z", re.ASCII)


def parse_time(text: str) -> int:
    """Return the minutes since midnight of `HH:MM`."""
    found = _TIME.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a time of day; write it like 09:00 or 17:30")
    return int(found[1]) * 60 + int(found[2])


def parse_days(text: str) -> frozenset[int]:
    """Return the week days of `mon-fri,sun`; a range may pass over the week's end (`sat-mon`)."""
    chosen: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{text!r} are not week days; write them like mon-fri or mon,wed,sun")
        start = DAYS.index(first)
        span = (DAYS.index(last) - start) % 7 if dash else 0
        chosen.update((start + step) % 7 for step in range(span + 1))
    return frozenset(chosen)


def parse_quiet(text: str) -> tuple[int, int]:
    """Return the two ends of `22:00-07:00` in minutes since midnight."""
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} are not quiet hours; write them like 22:00-07:00")
    ends = parse_time(start), parse_time(end)
    if ends[0] == ends[1]:
        raise ValueError(f"{text!r}: quiet hours that end when they begin")
    return ends


def parse_zone(text: str) -> ZoneInfo:
    """Return a zone of the IANA database by its name."""
    try:
        return ZoneInfo(text)
    # OSError: a name that is a directory of the database. ValueError: one that leaves it.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
    if not known:
        raise ValueError("this system has no time zone database; install its tzdata package, or the one of PyPI")
    raise ValueError(f"{text!r} is not a time zone{nearest(text, known) or '; write it like UTC or Europe/Paris'}")
