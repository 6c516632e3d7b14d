"""Durations as people write them: `90s`, `5m`, `1h30m`, `7d`, `250ms`.

Pure. In: text from a setting or a subscription. Out: milliseconds, and back. Fails with `ValueError` that says how to
write it; a bare number is refused, since nobody can tell whether seconds or milliseconds were meant.
"""

import re

#: Milliseconds of each unit, the largest first: that is also the order in which they are written.
UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
#: Ten years: longer is a slip of the hand, and far from what Redis and `asyncio` can count.
MAX_MS = 3_650 * UNITS["d"]

_FORM = re.compile("".join(rf"(?:(\d{{1,12}}){unit})?" for unit in UNITS) + r"\Z", re.ASCII)


def parse_duration(text: str) -> int:
    """Return the milliseconds of a duration; units are written from the largest to the smallest, each once."""
    stripped = text.strip()
    if stripped.isdecimal():
        raise ValueError(f"{text!r} has no unit; write {stripped}s for seconds, {stripped}m for minutes")
    found = _FORM.match(stripped)
    if not stripped or found is None:
        raise ValueError(f"{text!r} is not a duration; write it like 250ms, 90s, 5m, 1h30m or 7d")
    total = sum(int(count or 0) * size for count, size in zip(found.groups(), UNITS.values(), strict=True))
    if total > MAX_MS:
        raise ValueError(f"{text!r} is longer than {format_duration(MAX_MS)}")
    return total


def format_duration(ms: int) -> str:
    """Write milliseconds the way `parse_duration` reads them: `5400000` is `1h30m`."""
    written = []
    for unit, size in UNITS.items():
        count, ms = divmod(ms, size)
        if count:
            written.append(f"{count}{unit}")
    return "".join(written) or "0s"
