"""When a digest may go out: at times of day, on week days, not in quiet hours, in a time zone of people.

Pure: the time is an argument, in milliseconds since 1970. A day that changes its clock has each of its times once: one
that is skipped is the first instant after the gap, one that comes twice is its first coming.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

EVERY_DAY = frozenset(range(7))
#: The longest way from one slot to the next is a week and the day it ends on, whatever days are chosen.
_DAYS_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Timetable:
    """`at` and `quiet` in minutes since midnight, `days` from Monday, 0; without `at` any time of the days will do."""

    zone: ZoneInfo
    at: tuple[int, ...] = ()
    days: frozenset[int] = EVERY_DAY
    quiet: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """Write it, equal for equal timetables."""
        return f"{self.zone.key} at {self.at} on {sorted(self.days)} but {self.quiet}"

    def slots(self, now: int) -> tuple[int, ...]:
        """Return the instants of `at` in the coming week, from `now` on, ascending; none without `at`."""
        if not self.at:
            return ()
        slots = (self._awake(self._instant(day, minute)) for day in self._chosen(now) for minute in self.at)
        return tuple(sorted({slot for slot in slots if slot >= now}))

    def closed(self, now: int) -> tuple[int, ...]:
        """Return the coming week's periods in which nothing may go out: from, until, from, until, ascending.

        With `at` those are the quiet hours alone: what its time brought and nobody took goes out on any day.
        """
        today = self._local(now).date()
        periods = []
        for day in _days(today, -1):
            if self.quiet is not None:
                start, end = self.quiet
                until = day + timedelta(days=1) if start > end else day
                periods.append((self._instant(day, start), self._instant(until, end)))
            if not self.at and day.weekday() not in self.days:
                periods.append((self._instant(day, 0), self._instant(day + timedelta(days=1), 0)))
        return tuple(edge for period in _merged(periods) if period[1] > now for edge in period)

    def _chosen(self, now: int) -> list[date]:
        return [day for day in _days(self._local(now).date(), -2) if day.weekday() in self.days]

    def _awake(self, instant: int) -> int:
        """Return the instant, or the end of the quiet hours that it is in."""
        if self.quiet is None:
            return instant
        start, end = self.quiet
        here = self._local(instant)
        minute = here.hour * 60 + here.minute
        inside = start <= minute < end if start < end else minute >= start or minute < end
        if not inside:
            return instant
        day = here.date() + timedelta(days=1) if start > end and minute >= start else here.date()
        # In the hour that comes twice the end may seem to be past already.
        return max(self._instant(day, end), instant + 1)

    def _local(self, instant: int) -> datetime:
        return datetime.fromtimestamp(instant / 1000, UTC).astimezone(self.zone)

    def _instant(self, day: date, minute: int) -> int:
        """Return when a local time is, in ms; of one that the day skips, the first instant after the gap."""
        named = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=self.zone)
        there = named.astimezone(UTC)
        if there.astimezone(self.zone).replace(tzinfo=None) != named.replace(tzinfo=None):
            # Before the gap the offset was another: by that one the time falls right behind it or later.
            before, after = named.replace(fold=0).utcoffset(), named.replace(fold=1).utcoffset()
            assert before is not None
            assert after is not None
            there = self._end_of_gap(there, before - after)
        return int(there.timestamp()) * 1000

    def _end_of_gap(self, inside: datetime, width: timedelta) -> datetime:
        """Return the instant of the change, which lies within the gap's width of an instant named inside it."""
        low, high = inside - abs(width), inside + abs(width)
        offset = low.astimezone(self.zone).utcoffset()
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            if middle.astimezone(self.zone).utcoffset() == offset:
                low = middle
            else:
                high = middle
        return high.replace(microsecond=0)


def _days(first: date, back: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(back, _DAYS_AHEAD + 1)]


def _merged(periods: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put periods that touch together, so that the end of one is never inside another."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(period for period in periods if period[0] < period[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
