"""`sort`: each entry goes where it belongs, and a bad one harms no other."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinto_notify.intake import sort
from kinto_notify.store.stream import HOUR_MS, Entry
from support.events import change, event, fields
from support.subscribed import catalogue_of, subscribe

CATALOGUE = catalogue_of(subscribe(), subscribe(name="two", action="delete"))
CONTENT = "the-content-of-a-record"
ARRIVED = 1_700_000_000_000


def entry(body: dict[str, Any] | str | bytes, number: int = 0, version: bytes = b"1") -> Entry:
    raw = json.dumps(body) if isinstance(body, dict) else body
    return Entry(f"{ARRIVED}-{number}", {b"v": version, b"event": raw.encode() if isinstance(raw, str) else raw})


def without(name: str) -> dict[str, Any]:
    made = event()
    del (made if name in made else made["data"])[name]
    return made


MALFORMED: dict[str, dict[bytes, bytes]] = {
    "no fields we know": {b"other": b"1"},
    "no version": {b"event": json.dumps(event()).encode()},
    "no event": {b"v": b"1"},
    "another version": entry(event(), version=b"2").fields,
    "an empty version": entry(event(), version=b"").fields,
    "no text": entry(b"\xff\xfe\x00").fields,
    "nothing": entry("").fields,
    "no JSON": entry("{" + CONTENT).fields,
    "not an object": entry('["' + CONTENT + '"]').fields,
    "null": entry("null").fields,
    "nested without end": entry("[" * 100_000).fields,
    "no id": entry(without("id")).fields,
    "no data": entry(without("data")).fields,
    "no action": entry(without("action")).fields,
    "no changes": entry(without("changes")).fields,
    "changes of the wrong type": entry(event(changes=CONTENT)).fields,
    "a change of the wrong type": entry(event(changes=[CONTENT])).fields,
    "a change without id": entry(event(changes=[{"new": {"a": CONTENT}}])).fields,
    "an object that is none": entry(event(changes=[{"id": "a", "new": CONTENT}])).fields,
    "a timestamp that is none": entry(event(timestamp=CONTENT)).fields,
    "NaN": entry(json.dumps(event(timestamp=float("nan")))).fields,
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_poison_is_told_apart_and_its_content_never_told(kind: str) -> None:
    good = [entry(event(), 1), Entry(f"{ARRIVED}-2", MALFORMED[kind]), entry(event(), 3)]
    filed, poison = sort(good, CATALOGUE)
    assert [one.entry for one in filed] == [f"{ARRIVED}-1", f"{ARRIVED}-3"]
    assert all(len(one.filings) == 1 for one in filed)
    ((bad),) = poison
    assert bad.entry.id == f"{ARRIVED}-2"
    assert bad.reason
    assert CONTENT not in bad.reason
    assert "\n" not in bad.reason


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([b"v", b"event", b"x"]), st.binary(max_size=200)))
def test_any_bytes_are_sorted(raw: dict[bytes, bytes]) -> None:
    filed, poison = sort([Entry("1-1", raw)], CATALOGUE)
    assert len(filed) + len(poison) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(event()["data"])), json_values), st.sampled_from(["old", "new", "id"]))
def test_any_json_in_any_place_is_sorted(data: dict[str, Any], name: str) -> None:
    made = event(**data)
    made["data"].setdefault("changes", [])
    odd = event(change() | {name: data})
    filed, poison = sort([entry(made), entry(odd)], CATALOGUE)
    assert len(filed) + len(poison) == 2


def test_what_nobody_subscribed_is_filed_nowhere_but_is_filed() -> None:
    (one,), poison = sort([entry(event())], catalogue_of())
    assert (one.filings, poison) == ((), [])


def test_a_larger_version_of_our_major_is_read() -> None:
    """A newer listener adds what an older daemon does not know."""
    filed, poison = sort([entry(event(novelty={"a": 1}), version=b"1.2")], CATALOGUE)
    assert (len(filed), poison) == (1, [])


def test_the_hour_of_a_repeated_event_is_that_of_its_id() -> None:
    made = ARRIVED - 5 * HOUR_MS
    # Not `new_id`: its ids never go back in time.
    ident = str(uuid.UUID(int=made << 80 | 0x7 << 76 | 0b10 << 62))
    (one,), _ = sort([entry(event(ident=ident))], CATALOGUE)
    assert one.hour == made // HOUR_MS


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        ("2023-11-14T20:00:00Z", 1_699_992_000_000 // HOUR_MS),
        ("2023-11-14T21:00:00+01:00", 1_699_992_000_000 // HOUR_MS),
        ("", ARRIVED // HOUR_MS),
        ("yesterday", ARRIVED // HOUR_MS),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_the_hour_of_another_producers_event_is_that_of_its_time(time: str, hour: int | None) -> None:
    """Else of its arrival; any time at all must be survived."""
    (one,), poison = sort([entry(event(ident="of-another-producer") | {"time": time})], CATALOGUE)
    assert poison == []
    assert hour is None or one.hour == hour


def test_the_fields_of_the_contract_are_what_is_read() -> None:
    made = event()
    (one,), _ = sort([Entry("5-0", {k.encode(): v.encode() for k, v in fields(made).items()})], CATALOGUE)
    assert (one.entry, one.event) == ("5-0", made["id"])
