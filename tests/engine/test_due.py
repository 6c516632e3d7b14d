"""When a digest is due: the Lua that `file` and `freeze` include, run on a real Redis with times of the test's own."""

import json

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinto_notify.digest import INTERVAL_GROWTH
from kinto_notify.store.client import script_text

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOW = 1_795_446_252_000
ASK = (
    script_text("due")
    + """
local asked = cjson.decode(ARGV[1])
if asked.following then
  local f = asked.following
  return string.format('%d', following(f.first, f.last, f.interval, f.least, f.most, f.growth))
end
return string.format('%d', due_at(asked.digest, asked.now, asked.last, asked.paced))
"""
)


def due(client: redis.Redis, *, now: int = NOW, last: int | None = None, paced: int | None = None, **digest) -> int:
    asked = {"first": NOW, "wait": 30 * SECOND, "interval": 5 * MINUTE, "max_events": 0, "changes": 1}
    told = {"digest": {**asked, "slots": [], "closed": [], **digest}, "now": now}
    if last is not None:
        told |= {"last": last, "paced": 5 * MINUTE if paced is None else paced}
    return int(client.eval(ASK, 0, json.dumps(told)))


def following(client: redis.Redis, first: int, last: int | None, interval: int | None, least: int, most: int) -> int:
    told = {"first": first, "least": least, "most": most, "growth": INTERVAL_GROWTH}
    told |= {name: value for name, value in (("last", last), ("interval", interval)) if value is not None}
    return int(client.eval(ASK, 0, json.dumps({"following": told})))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # nothing was mailed before
        ({}, 30 * SECOND),
        ({"wait": 0}, 0),
        ({"wait": 0, "interval": 0}, 0),
        ({"wait": DAY}, DAY),
        # something was
        ({"last": NOW - MINUTE}, 4 * MINUTE),
        ({"last": NOW - 5 * MINUTE}, 30 * SECOND),
        ({"last": NOW - HOUR}, 30 * SECOND),
        ({"last": NOW - MINUTE, "wait": 10 * MINUTE}, 10 * MINUTE),
        ({"last": NOW - MINUTE, "paced": 20 * MINUTE}, 19 * MINUTE),
        ({"last": NOW - MINUTE, "wait": 0}, 4 * MINUTE),
        ({"last": NOW - MINUTE, "wait": 0, "interval": 0}, 0),
        # it is full: at once, but no sooner than the interval, not the grown one
        ({"max_events": 3, "changes": 3}, 0),
        ({"max_events": 3, "changes": 2}, 30 * SECOND),
        ({"max_events": 3, "changes": 9, "last": NOW - MINUTE}, 4 * MINUTE),
        ({"max_events": 3, "changes": 9, "last": NOW - MINUTE, "paced": 20 * MINUTE}, 4 * MINUTE),
        ({"max_events": 3, "changes": 3, "interval": 0, "last": NOW - MINUTE}, 0),
        # at
        ({"slots": [NOW + HOUR, NOW + DAY]}, HOUR),
        ({"slots": [NOW]}, 0),
        ({"slots": [NOW - MINUTE, NOW + DAY]}, DAY),
        ({"slots": [NOW + HOUR], "last": NOW - MINUTE, "paced": DAY}, HOUR),
        ({"slots": [NOW + HOUR], "max_events": 1}, HOUR),
        # closed
        ({"closed": [NOW - HOUR, NOW + HOUR]}, HOUR),
        ({"closed": [NOW - HOUR, NOW + 30 * SECOND]}, 30 * SECOND),
        ({"closed": [NOW + 30 * SECOND, NOW + HOUR]}, HOUR),
        ({"closed": [NOW + 31 * SECOND, NOW + HOUR]}, 30 * SECOND),
        ({"closed": [NOW - HOUR, NOW + MINUTE, NOW + HOUR, NOW + DAY]}, MINUTE),
        ({"closed": [NOW - HOUR, NOW + HOUR], "wait": 0, "interval": 0}, HOUR),
        ({"closed": [NOW - HOUR, NOW + HOUR], "max_events": 1}, HOUR),
        ({"closed": [NOW + 2 * MINUTE, NOW + HOUR], "last": NOW - MINUTE}, HOUR),
    ],
)
def test_a_digest_is_due(server, told, expected):
    assert due(server, **told) - NOW == expected


@pytest.mark.parametrize(
    ("first", "last", "interval", "expected"),
    [
        (NOW, None, None, 5),
        (NOW, NOW - 4 * MINUTE, 5 * MINUTE, 7.5),
        (NOW, NOW - 5 * MINUTE, 5 * MINUTE, 7.5),
        (NOW, NOW - 5 * MINUTE - 1, 5 * MINUTE, 5),
        (NOW, NOW - 20 * MINUTE, 25 * MINUTE, 30),
        (NOW, NOW - MINUTE, 30 * MINUTE, 30),
    ],
)
def test_the_interval_grows_by_half_while_changes_keep_coming(server, first, last, interval, expected):
    assert following(server, first, last, interval, 5 * MINUTE, 30 * MINUTE) == expected * MINUTE


spans = st.integers(0, 3 * DAY)
edges = st.lists(st.integers(-DAY, 4 * DAY), max_size=6, unique=True).map(
    lambda found: [NOW + edge for edge in sorted(found[: len(found) // 2 * 2])]
)
same_server = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_server
@given(st.data())
def test_no_digest_waits_past_what_its_rules_allow_nor_goes_out_when_it_may_not(server, data):
    wait, interval = data.draw(spans), data.draw(spans)
    most = max(interval, data.draw(spans))
    last = data.draw(st.none() | st.integers(-3 * DAY, 0).map(lambda ago: NOW + ago))
    paced = data.draw(st.integers(interval, most))
    closed = data.draw(edges)
    found = due(server, wait=wait, interval=interval, last=last, paced=paced, closed=closed)
    free = max(NOW + wait, last + paced if last is not None and interval else 0)
    assert found >= free
    assert found == free or found in closed[1::2]
    assert not any(start <= found < end for start, end in zip(closed[::2], closed[1::2], strict=True))
    if not closed:
        assert found <= NOW + max(wait, most)


@same_server
@given(spans, spans, st.none() | st.integers(-DAY, 0), spans)
def test_a_grown_interval_is_within_its_bounds(server, least, most, ago, interval):
    last = None if ago is None else NOW + ago
    found = following(server, NOW, last, None if last is None else interval, least, most)
    assert least <= found <= max(least, most)


def test_a_flood_grows_it_to_its_bound_and_a_calm_starts_anew(server):
    interval, found = 5 * MINUTE, []
    for _ in range(10):
        interval = following(server, NOW, NOW, interval, 5 * MINUTE, 30 * MINUTE)
        found.append(interval)
    assert found[:5] == [7.5 * MINUTE, 11.25 * MINUTE, 16.875 * MINUTE, 25.3125 * MINUTE, 30 * MINUTE]
    assert set(found[5:]) == {30 * MINUTE}
    assert following(server, NOW, NOW - interval - 1, interval, 5 * MINUTE, 30 * MINUTE) == 5 * MINUTE


def test_immediate_stays_immediate(server):
    assert following(server, NOW, NOW, 0, 0, 30 * MINUTE) == 0
