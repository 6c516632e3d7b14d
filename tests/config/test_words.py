"""Durations, rates, times of day: what people write, and what they write by mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinto_notify.duration import MAX_MS, format_duration, parse_duration
from kinto_notify.rate import Rate, parse_rate
from kinto_notify.schedule import parse_days, parse_quiet, parse_time, parse_zone


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("250ms", 250),
        ("0s", 0),
        ("1d2h3m4s5ms", 93_784_005),
        (" 3d ", 259_200_000),
        ("1m500ms", 60_500),
    ],
)
def test_duration(text, ms):
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "-5s", "5 m", "1.5h", "5M", "30m1h", "5s5s", "5w", "inf", "٥s", "1h30", "99999d", "9" * 40 + "s"],
)
def test_no_duration(text):
    with pytest.raises(ValueError, match=r"not a duration|longer than"):
        parse_duration(text)


def test_a_bare_number_is_refused_with_both_readings():
    with pytest.raises(ValueError, match="30s for seconds, 30m for minutes"):
        parse_duration("30")


@given(st.integers(min_value=0, max_value=MAX_MS))
def test_every_duration_is_read_as_it_is_written(ms):
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", Rate(50, 1000)),
        ("100/m", Rate(100, 60_000)),
        ("20/10m", Rate(20, 600_000)),
        ("1/d", Rate(1, 86_400_000)),
    ],
)
def test_rate(text, rate):
    assert parse_rate(text) == rate
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "50", "0/s", "-1/s", "50/", "50/0s", "a/s", "50/fortnight", "50/60", "1/s/s"])
def test_no_rate(text):
    with pytest.raises(ValueError, match=r"rate|duration|unit"):
        parse_rate(text)


def test_the_words_of_a_schedule():
    assert parse_time("09:00") == 540
    assert parse_days("mon-fri,sun") == {0, 1, 2, 3, 4, 6}
    assert parse_days("sat-mon") == {5, 6, 0}
    assert parse_quiet("22:00-07:00") == (1320, 420)
    assert parse_zone("Europe/Paris").key == "Europe/Paris"


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (parse_time, "24:00", "09:00"),
        (parse_time, "9:00", "09:00"),
        (parse_days, "mon-", "week days"),
        (parse_days, "monday", "week days"),
        (parse_days, "", "week days"),
        (parse_quiet, "22:00", "quiet hours"),
        (parse_quiet, "07:00-07:00", "end when they begin"),
        (parse_zone, "Europe/Pari", "did you mean Europe/Paris"),
        (parse_zone, "europe", "not a time zone"),
        (parse_zone, "../../etc/passwd", "not a time zone"),
        (parse_zone, "Europe", "not a time zone"),
        (parse_zone, "", "not a time zone"),
    ],
)
def test_no_word_of_a_schedule(read, text, told):
    with pytest.raises(ValueError, match=told):
        read(text)
