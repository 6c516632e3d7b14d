"""When a mail is called late: where something held it up, never where its subscription waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kinto_notify.compose import phrases
from kinto_notify.digest import LATE_MS
from support.digests import HELLO, digest

HOUR = 3_600_000
NOW = digest(HELLO).frozen


@pytest.mark.parametrize(
    ("oldest", "first", "due", "late"),
    [
        (NOW - 1000, NOW - 900, NOW, False),
        # One mail a day, a week of holidays: it is due when it is due.
        (NOW - 100 * HOUR, NOW - 100 * HOUR + 500, NOW - 200, False),
        # On the way to Redis.
        (NOW - 72 * HOUR, NOW - 1000, NOW, True),
        (NOW - 1000 - LATE_MS, NOW - 1000, NOW, True),
        (NOW - 999 - LATE_MS, NOW - 1000, NOW, False),
        # Due, and nobody could take it.
        (NOW - 5 * HOUR, NOW - 5 * HOUR, NOW - LATE_MS, True),
        (NOW - 5 * HOUR, NOW - 5 * HOUR, NOW - LATE_MS + 1, False),
        # The clock of Kinto's host is a day ahead (K25).
        (NOW + 24 * HOUR, NOW - 1000, NOW, False),
        # Stored by a version that did not ask.
        (0, NOW - 100 * HOUR, 0, False),
    ],
)
def test_late(oldest: int, first: int, due: int, late: bool) -> None:
    assert replace(digest(HELLO), oldest=oldest, first=first, due=due).late is late


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (timedelta(minutes=61), "1 hour before"),
        (timedelta(hours=47, minutes=20), "47 hours before"),
        (timedelta(hours=48), "2 days before"),
        (timedelta(days=400), "400 days before"),
    ],
)
def test_how_late(held: timedelta, said: str) -> None:
    written = datetime(2026, 11, 29, 18, 0, tzinfo=UTC)
    assert said in phrases.late(written - held, written)


def test_a_time_that_no_calendar_knows_has_no_words() -> None:
    assert phrases.late(None, datetime(2026, 11, 29, tzinfo=UTC)) == ""
