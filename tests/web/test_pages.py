"""Who is admitted to the operator's pages, what the rates and their pictures say: pure (X12)."""

import base64
import xml.etree.ElementTree as ET

import pytest

from kinto_notify.web.admission import admitted
from kinto_notify.web.pictures import picture
from kinto_notify.web.rates import HOUR, Rates

TOKEN = "0123456789abcdef-é"
MINUTE = 60_000


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("peer", "headers", "wanted"),
    [
        ("127.0.0.1", {}, True),
        ("127.9.9.9", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("192.0.2.1", {}, False),
        ("::ffff:192.0.2.1", {}, False),
        ("", {}, False),
        (None, {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, False),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1", "Authorization": f"Bearer {TOKEN}"}, True),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN}"}, True),
        ("192.0.2.1", {"Authorization": f"bearer  {TOKEN} "}, True),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN}x"}, False),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN[:-1]}"}, False),
        ("192.0.2.1", {"Authorization": "Bearer "}, False),
        ("192.0.2.1", {"Authorization": TOKEN}, False),
        ("192.0.2.1", {"Authorization": f"Digest {TOKEN}"}, False),
        ("192.0.2.1", basic(f"anybody:{TOKEN}"), True),
        ("192.0.2.1", basic(f":{TOKEN}"), True),
        ("192.0.2.1", basic(TOKEN), False),
        ("192.0.2.1", basic(f"{TOKEN}:"), False),
        ("192.0.2.1", {"Authorization": "Basic ***"}, False),
        ("192.0.2.1", {"Authorization": "Basic é"}, False),
        ("192.0.2.1", {"Authorization": "Bearer \udcff"}, False),
    ],
)
def test_x12_who_is_admitted(peer: str | None, headers: dict[str, str], wanted: bool) -> None:
    assert admitted(peer, headers, TOKEN) is wanted


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer "}, basic(":"), {"Authorization": "Bearer None"}])
def test_x12_without_a_token_nothing_opens_the_door(given: dict[str, str]) -> None:
    assert not admitted("192.0.2.1", given, None)
    assert admitted("127.0.0.1", given, None)


def test_rates_are_what_the_totals_grew_by_in_each_minute() -> None:
    rates = Rates()
    assert rates.minutes("events", 5 * MINUTE) == (None,) * HOUR
    for now, events in ((0, 100), (30_000, 107), (59_000, 110), (MINUTE, 111), (3 * MINUTE, 131)):
        rates.take(now, {"events": events, "sent": events // 10})
    assert rates.minutes("events", 3 * MINUTE)[-5:] == (None, 10, 1, 0, 20)
    assert sum(filter(None, rates.minutes("sent", 3 * MINUTE))) == 3
    assert rates.minutes("events", 62 * MINUTE)[:3] == (20, 0, 0)
    assert None not in rates.minutes("events", 70 * MINUTE)


def test_rates_go_on_after_totals_that_were_lost() -> None:
    rates = Rates()
    for now, events in ((0, 100), (1_000, 3), (2_000, 5)):
        rates.take(now, {"events": events})
    assert rates.minutes("events", 3_000)[-1] == 2


def test_rates_keep_an_hour_and_no_more() -> None:
    rates = Rates()
    for minute in range(1_000):
        rates.take(minute * MINUTE, {"events": minute, "sent": minute})
    assert len(rates._minutes) == 2 * HOUR
    assert rates.minutes("events", 999 * MINUTE) == (1,) * HOUR


def test_a_picture_is_markup_and_says_it_in_words() -> None:
    drawn = picture("Events a minute", (None, None, 0, 4, 1000, 1))
    figure = ET.fromstring(drawn)
    svg = figure.find("svg")
    assert svg is not None
    said = "1 this minute, at most 1,000 a minute, 1,005 since this daemon began, 4 min ago"
    assert svg.get("aria-label") == f"Events a minute: {said}"
    bars = [one for one in svg if "class" not in one.attrib]
    # What is little beside a peak is drawn all the same; what is nothing is not.
    assert [float(one.get("height", "")) for one in bars] == [1.5, 40.0, 1.5]
    assert all(float(one.get("y", "")) + float(one.get("height", "")) == 40 for one in bars)


def test_an_hour_without_anything_is_a_picture_too() -> None:
    assert "0 this minute, at most 0, 0 in the last hour" in picture("Mails a minute", (0,) * HOUR)
