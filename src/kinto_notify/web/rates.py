"""How fast it went in the last hour: events and mails of each minute, from the totals that stand in Redis.

Pure, in memory: `take` is given the namespace's totals every few seconds, and keeps by how much they grew. So it tells
of all daemons, but only since this one began. After a FLUSHALL, when totals shrink, it goes on from there.
"""

from collections.abc import Mapping

HOUR = 60
_MINUTE_MS = 60_000
_TOTALS = ("events", "sent")


class Rates:
    """The last hour of one namespace, by minutes."""

    def __init__(self) -> None:
        self._last: Mapping[str, int] | None = None
        self._began = 0
        self._minutes: dict[tuple[int, str], int] = {}

    def take(self, now: int, totals: Mapping[str, int]) -> None:
        """Take note of the totals at `now` (ms)."""
        minute = now // _MINUTE_MS
        if self._last is None:
            self._began = minute
        else:
            for name in _TOTALS:
                grown = totals.get(name, 0) - self._last.get(name, 0)
                if grown > 0:
                    self._minutes[minute, name] = self._minutes.get((minute, name), 0) + grown
        self._last = dict(totals)
        self._minutes = {key: count for key, count in self._minutes.items() if key[0] > minute - HOUR}

    def minutes(self, name: str, now: int) -> tuple[int | None, ...]:
        """Return the counts of the last hour's minutes, the one that runs last; None for those before we began."""
        current = now // _MINUTE_MS
        if self._last is None:
            return (None,) * HOUR
        return tuple(
            self._minutes.get((minute, name), 0) if minute >= self._began else None
            for minute in range(current - HOUR + 1, current + 1)
        )
