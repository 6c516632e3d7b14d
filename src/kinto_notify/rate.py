"""Rates as people write them: `50/s`, `100/m`, `20/10m`.

Pure. In: text from a setting. Out: a `Rate`. Fails with `ValueError` that says how to write it.
"""

import re
from dataclasses import dataclass

from kinto_notify.duration import UNITS, format_duration, parse_duration

#: More than a million a period is no limit.
_MAX_COUNT = 1_000_000
_FORM = re.compile(r"(\d{1,9})/(\S+)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in `per_ms` milliseconds."""

    count: int
    per_ms: int

    def __str__(self) -> str:
        return f"{self.count}/{format_duration(self.per_ms)}"


def parse_rate(text: str) -> Rate:
    """Read a count, a slash, and a unit (`s`, `m`, `h`, `d`) or a duration."""
    found = _FORM.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a rate; write it like 50/s, 100/m or 20/10m")
    count, period = int(found[1]), found[2]
    per_ms = UNITS[period] if period in UNITS else parse_duration(period)
    if not 0 < count <= _MAX_COUNT or per_ms <= 0:
        raise ValueError(f"{text!r}: a rate is 1 to {_MAX_COUNT} in a period longer than nothing")
    return Rate(count, per_ms)
