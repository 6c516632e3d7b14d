"""Rates as people write them: `50/s`, `100/m`, `20/10m`.

Pure. In: text from a setting. Out: a `Rate`. Fails with `ValueError` that says how to write it.
"""

import re
from dataclasses import dataclass

from kinto_notify.duration import UNITS, format_duration, parse_duration

#: More than a million a period is no limit.
_MAX_COUNT = 1_000_000
#: So many permits at once are enough for any relay, and their record in Redis stays below a megabyte.
_MAX_BURST = 5_000
_FORM = re.compile(r"(\d{1,9})/(\S+)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in `per_ms` milliseconds."""

    count: int
    per_ms: int

    @property
    def window(self) -> "Rate":
        """The same rate in its finest grain: who keeps to it in every window of this one's period keeps to the whole.

        Its count divides ours and is at most a second's worth, so that a period is never begun with all of it.
        """
        burst = min(max(self.count * 1000 // self.per_ms, 1), _MAX_BURST)
        count = next(number for number in range(burst, 0, -1) if self.count % number == 0)
        return Rate(count, -(-count * self.per_ms // self.count))

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
