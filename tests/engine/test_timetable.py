"""When mails may go out: a clock in the test's hand, three time zones and both changes of the clock (G07, D20)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinto_notify.schedule import parse_days, parse_quiet, parse_time
from kinto_notify.timetable import EVERY_DAY, Timetable

PARIS, NEW_YORK, KOLKATA = "Europe/Paris", "America/New_York", "Asia/Kolkata"
HOUR = 3_600_000


def table(zone: str, at: str = "", days: str = "", quiet: str = "") -> Timetable:
    return Timetable(
        ZoneInfo(zone),
        tuple(parse_time(one) for one in at.split()),
        parse_days(days) if days else EVERY_DAY,
        parse_quiet(quiet) if quiet else None,
    )


def allowed_from(timetable: Timetable, instant: int) -> int:
    """Return the first instant that is allowed, as `due.lua` finds it in the slots and the closed periods."""
    if timetable.at:
        return timetable.slots(instant)[0]
    closed = timetable.closed(instant)
    periods = zip(closed[::2], closed[1::2], strict=True)
    return next((until for begun, until in periods if begun <= instant < until), instant)


def ms(text: str, zone: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def local(instant: int, zone: str) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).astimezone(ZoneInfo(zone)).isoformat()[:-9]


# 2026: Paris changes on 29 March (02:00 → 03:00) and 25 October (03:00 → 02:00), New York on 8 March and 1 November,
# Kolkata never and by half an hour. 23 November is a Monday.
CASES = [
    # at
    (PARIS, "09:00", "", "", "2026-11-23T08:59", "2026-11-23T09:00"),
    (PARIS, "09:00", "", "", "2026-11-23T09:00", "2026-11-23T09:00"),
    (PARIS, "09:00", "", "", "2026-11-23T09:01", "2026-11-24T09:00"),
    (PARIS, "09:00 17:30", "", "", "2026-11-23T09:01", "2026-11-23T17:30"),
    (PARIS, "09:00 17:30", "", "", "2026-11-23T17:31", "2026-11-24T09:00"),
    (PARIS, "00:00", "", "", "2026-11-23T00:01", "2026-11-24T00:00"),
    (PARIS, "23:59", "", "", "2026-12-31T23:59", "2026-12-31T23:59"),
    (PARIS, "09:00", "", "", "2026-12-31T09:01", "2027-01-01T09:00"),
    (NEW_YORK, "09:00", "", "", "2026-11-23T08:00", "2026-11-23T09:00"),
    (KOLKATA, "09:00", "", "", "2026-11-23T08:00", "2026-11-23T09:00"),
    (KOLKATA, "00:15", "", "", "2026-11-23T08:00", "2026-11-24T00:15"),
    # at and days
    (PARIS, "09:00", "mon-fri", "", "2026-11-27T09:01", "2026-11-30T09:00"),
    (PARIS, "09:00", "mon-fri", "", "2026-11-28T08:00", "2026-11-30T09:00"),
    (PARIS, "09:00", "sun", "", "2026-11-22T09:01", "2026-11-29T09:00"),
    (PARIS, "09:00", "sun", "", "2026-11-22T09:00", "2026-11-22T09:00"),
    (PARIS, "09:00", "mon,wed", "", "2026-11-23T12:00", "2026-11-25T09:00"),
    (NEW_YORK, "18:00", "fri", "", "2026-11-23T12:00", "2026-11-27T18:00"),
    (KOLKATA, "18:00", "sat-sun", "", "2026-11-29T18:01", "2026-12-05T18:00"),
    # at, while the clock goes forward: the hour from two to three is not there
    (PARIS, "02:30", "", "", "2026-03-28T12:00", "2026-03-29T03:00"),
    (PARIS, "02:30", "", "", "2026-03-29T03:01", "2026-03-30T02:30"),
    (PARIS, "02:00", "", "", "2026-03-28T12:00", "2026-03-29T03:00"),
    (PARIS, "03:00", "", "", "2026-03-28T12:00", "2026-03-29T03:00"),
    (PARIS, "01:59", "", "", "2026-03-28T12:00", "2026-03-29T01:59"),
    (PARIS, "09:00", "", "", "2026-03-28T09:01", "2026-03-29T09:00"),
    (NEW_YORK, "02:30", "", "", "2026-03-07T12:00", "2026-03-08T03:00"),
    (NEW_YORK, "09:00", "", "", "2026-03-07T09:01", "2026-03-08T09:00"),
    # at, while it goes back: the hour from two to three comes twice, and its times count once
    (PARIS, "02:30", "", "", "2026-10-24T12:00", "2026-10-25T02:30"),
    (PARIS, "02:30", "", "", "2026-10-25T03:30", "2026-10-26T02:30"),
    (PARIS, "09:00", "", "", "2026-10-24T09:01", "2026-10-25T09:00"),
    (NEW_YORK, "01:30", "", "", "2026-10-31T12:00", "2026-11-01T01:30"),
    (NEW_YORK, "09:00", "", "", "2026-10-31T09:01", "2026-11-01T09:00"),
    # days
    (PARIS, "", "mon-fri", "", "2026-11-23T12:00", "2026-11-23T12:00"),
    (PARIS, "", "mon-fri", "", "2026-11-28T00:00", "2026-11-30T00:00"),
    (PARIS, "", "sat", "", "2026-11-22T23:59", "2026-11-28T00:00"),
    (KOLKATA, "", "mon", "", "2026-11-22T23:59", "2026-11-23T00:00"),
    # quiet
    (PARIS, "", "", "22:00-07:00", "2026-11-23T21:59", "2026-11-23T21:59"),
    (PARIS, "", "", "22:00-07:00", "2026-11-23T22:00", "2026-11-24T07:00"),
    (PARIS, "", "", "22:00-07:00", "2026-11-24T06:59", "2026-11-24T07:00"),
    (PARIS, "", "", "22:00-07:00", "2026-11-24T07:00", "2026-11-24T07:00"),
    (PARIS, "", "", "12:00-14:00", "2026-11-23T13:00", "2026-11-23T14:00"),
    (PARIS, "", "", "12:00-14:00", "2026-11-23T11:59", "2026-11-23T11:59"),
    (NEW_YORK, "", "", "22:00-07:00", "2026-11-23T23:00", "2026-11-24T07:00"),
    # quiet, over both changes of the clock
    (PARIS, "", "", "22:00-07:00", "2026-03-28T22:30", "2026-03-29T07:00"),
    (PARIS, "", "", "22:00-02:30", "2026-03-28T22:30", "2026-03-29T03:00"),
    (PARIS, "", "", "02:15-02:45", "2026-03-29T01:59", "2026-03-29T01:59"),
    (PARIS, "", "", "22:00-07:00", "2026-10-24T22:30", "2026-10-25T07:00"),
    (NEW_YORK, "", "", "22:00-07:00", "2026-10-31T22:30", "2026-11-01T07:00"),
    # quiet and days
    (PARIS, "", "mon-fri", "22:00-07:00", "2026-11-27T22:30", "2026-11-30T07:00"),
    (PARIS, "", "mon-fri", "22:00-07:00", "2026-11-28T12:00", "2026-11-30T07:00"),
    (PARIS, "", "mon-fri", "22:00-07:00", "2026-11-26T22:30", "2026-11-27T07:00"),
    # quiet and at
    (PARIS, "23:00", "", "22:00-07:00", "2026-11-23T12:00", "2026-11-24T07:00"),
    (PARIS, "23:00", "", "22:00-07:00", "2026-11-24T06:00", "2026-11-24T07:00"),
    (PARIS, "23:00", "", "22:00-07:00", "2026-11-24T07:01", "2026-11-25T07:00"),
    (PARIS, "08:00 23:00", "", "22:00-07:00", "2026-11-23T12:00", "2026-11-24T07:00"),
    (PARIS, "23:00", "fri", "22:00-07:00", "2026-11-27T12:00", "2026-11-28T07:00"),
]


@pytest.mark.parametrize(("zone", "at", "days", "quiet", "now", "expected"), CASES)
def test_a_timed_case(zone, at, days, quiet, now, expected):
    found = allowed_from(table(zone, at, days, quiet), ms(now, zone))
    assert local(found, zone) == expected


def test_the_hour_that_comes_twice_has_its_time_at_its_first_coming():
    first = ms("2026-10-25T02:30", PARIS)
    daily = table(PARIS, "02:30")
    assert allowed_from(daily, first - HOUR) == first
    assert allowed_from(daily, first + 1) == ms("2026-10-26T02:30", PARIS)


def test_each_day_has_its_digest_once_also_when_the_clock_changes():
    for zone, start in ((PARIS, "2026-03-20T00:00"), (PARIS, "2026-10-20T00:00"), (NEW_YORK, "2026-03-01T00:00")):
        for at in ("00:00", "02:30", "03:00", "09:00"):
            daily, instant, days = table(zone, at), ms(start, zone), []
            for _ in range(14):
                instant = allowed_from(daily, instant)
                days.append(local(instant, zone)[:10])
                instant += 1
            first = datetime.fromisoformat(days[0])
            assert days == [(first + timedelta(days=n)).date().isoformat() for n in range(14)]


zones = st.sampled_from([PARIS, NEW_YORK, KOLKATA, "UTC", "Australia/Lord_Howe", "Pacific/Apia"])
minutes = st.integers(0, 24 * 60 - 1)
quiets = st.none() | st.tuples(minutes, minutes).filter(lambda ends: ends[0] != ends[1])
tables = st.builds(
    Timetable,
    zones.map(ZoneInfo),
    st.lists(minutes, max_size=3).map(lambda found: tuple(sorted(set(found)))),
    st.frozensets(st.integers(0, 6), min_size=1),
    quiets,
)
instants = st.integers(ms("2026-01-01T00:00", "UTC"), ms("2027-12-31T00:00", "UTC"))


@settings(deadline=None, max_examples=300)
@given(tables, instants)
def test_what_is_allowed_is_allowed_and_comes_within_nine_days(timetable: Timetable, instant: int) -> None:
    found = allowed_from(timetable, instant)
    assert instant <= found <= instant + 9 * 24 * HOUR
    assert allowed_from(timetable, found) == found


@settings(deadline=None, max_examples=300)
@given(tables.filter(lambda timetable: not timetable.at), instants)
def test_the_closed_periods_are_those_of_the_clock_on_the_wall(timetable: Timetable, instant: int) -> None:
    closed = timetable.closed(instant)
    assert list(closed) == sorted(closed)
    pairs = list(zip(closed[::2], closed[1::2], strict=True))
    inside = [end for start, end in pairs if start <= instant < end]
    here = datetime.fromtimestamp(instant / 1000, UTC).astimezone(timetable.zone)
    start, end = timetable.quiet or (0, 0)
    minute = here.hour * 60 + here.minute
    asleep = start <= minute < end if start <= end else minute >= start or minute < end
    # In the hour that comes twice, and beside the one that is skipped, the clock on the wall is no guide.
    changes = len({(here + timedelta(hours=hours)).utcoffset() for hours in (-26, 26)}) > 1
    assert changes or bool(inside) == (asleep or here.weekday() not in timetable.days)


@settings(deadline=None, max_examples=200)
@given(tables.filter(lambda timetable: timetable.at), instants)
def test_slots_ascend_and_are_never_in_quiet_hours(timetable: Timetable, instant: int) -> None:
    slots = timetable.slots(instant)
    assert slots
    assert list(slots) == sorted(set(slots))
    assert slots[0] >= instant
    closed = timetable.closed(instant)
    pairs = list(zip(closed[::2], closed[1::2], strict=True))
    assert not [slot for slot in slots for start, end in pairs if start <= slot < end]
