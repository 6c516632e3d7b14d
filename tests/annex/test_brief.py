"""An event is written down in brief, and told at length by the relay, to the letter as if it were told at once."""

import json
from pathlib import Path
from typing import Any

import pytest
import webtest

from kinto_notify import wire
from kinto_notify.outbox import frame
from kinto_notify.outbox.brief import brief, complete, marked
from kinto_notify.outbox.capture import Captured, Origin
from kinto_notify.outbox.joined import written
from kinto_notify.outbox.split import Entry, entries
from support.kinto_app import RECORDS
from support.stream import StreamReader

ORIGIN = Origin("request", "http://localhost/v1/", "127.0.0.1", "curl/8")
PAYLOAD = {
    "timestamp": 1795451587239, "action": "update", "uri": "/buckets/b/collections/c/records/r", "user_id": None,
    "resource_name": "record", "bucket_id": "b", "collection_id": "c", "record_id": "r",
}  # fmt: skip
DEEP: Any = "bottom"
for _ in range(100):
    DEEP = [DEEP]


def captured(*states: Any, **more: Any) -> Captured:
    impacted = [{"old": {"id": "r", "last_modified": 1}, "new": state} for state in states]
    return Captured(1795451587241, "kinto.core.events.ResourceChanged", PAYLOAD, impacted, ORIGIN, **more)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param({"id": "r", "title": "Hello", "n": [1, 2.5, None, True]}, id="plain"),
        pytest.param({"id": "r", "deleted": True}, id="tombstone"),
        pytest.param(None, id="no new state, as in Cliquet"),
        pytest.param({"id": "r", "text": "a\x00b\ud800\u2028"}, id="unclean"),
        pytest.param({"id": "r", "deep": DEEP}, id="deep"),
        pytest.param({"id": "r", "odd": float("nan"), "big": 10**5000, "set": frozenset({1})}, id="no JSON"),
        pytest.param({"id": "[", "x": "[{"}, id="brackets"),
    ],
)
def test_what_is_told_is_the_same(new: Any) -> None:
    (short,) = brief(captured(new))
    assert short.body.startswith(b"M")
    (whole,) = complete(short)
    told = json.loads(whole.body)
    (other,) = entries(captured(new))
    assert told.pop("id") == whole.id == short.id
    assert told == {key: value for key, value in json.loads(other.body).items() if key != "id"}
    assert complete(other) == [other]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(captured({"id": "a"}, extra={}), id="a further event"),
        pytest.param(captured({"id": "a"}, children={"record": 1}), id="children"),
        pytest.param(captured({"id": "a", "text": "x" * wire.MAX_ENTRY_BYTES}), id="large"),
        pytest.param(captured({"id": "a", "odd": object()}), id="no plain value"),
    ],
)
def test_what_may_need_more_is_told_at_once(event: Captured) -> None:
    assert brief(event) == []


def test_whatever_its_ids_an_entry_made_of_a_brief_one_is_not_too_long() -> None:
    long = "x" * 60_000
    payload = {**PAYLOAD, "bucket_id": long, "collection_id": long, "uri": long}
    event = Captured(1, "", payload, [{"new": {"id": long}}], ORIGIN)
    (short,) = brief(event)
    assert len(short.body) > wire.MAX_ENTRY_BYTES // 5
    (whole,) = complete(short)
    assert len(whole.body) <= wire.MAX_ENTRY_BYTES
    assert json.loads(whole.body)["id"] == whole.id == short.id


def test_what_grows_too_long_in_json_is_cut() -> None:
    """A control character is six bytes of JSON."""
    (short,) = brief(captured({"id": "r", "text": "\x01" * (wire.MAX_ENTRY_BYTES // 3)}))
    (change,) = json.loads(complete(short)[0].body)["data"]["changes"]
    assert change["truncated"]
    assert change["new"] == {"id": "r"}


@pytest.mark.parametrize("text", ["\n", "\x1b", "\x1b0", "\x1b1", "\x1b\n0\n1", "\nC 1 1 00000000\n"])
def test_no_frame_can_stand_in_a_brief_entry(text: str) -> None:
    """A row is one line in its file, and only a header's last eight characters may be a checksum."""
    for states in ([{"id": "r", "text": text}], [{"id": "r", "text": text}] * 2):
        (short,) = brief(captured(*states))
        assert b"\n" not in short.body
        assert short.body.endswith(b".")
        changes = json.loads(complete(short)[0].body)["data"]["changes"]
        assert [change["new"]["text"] for change in changes] == [text] * len(states)


def test_what_an_older_version_left_in_a_spool_is_told() -> None:
    said = ["request", "http://localhost/v1/", "127.0.0.1", "curl/8"]
    old = Entry("id", json.dumps([1795451587241, "C", PAYLOAD, [{"new": {"id": "r"}}], said, None]).encode())
    told = json.loads(complete(old)[0].body)
    assert told["id"] == "id"
    assert told["data"]["request_id"] == "request"
    assert told["data"]["changes"] == [{"id": "r", "uri": "/buckets/b/collections/c/records/r", "new": {"id": "r"}}]


def test_a_small_write_is_in_brief_on_disk_and_whole_in_the_stream(
    app: webtest.TestApp, stream: StreamReader, spool: Path
) -> None:
    app.put_json(f"{RECORDS}/r", {"data": {"n": 1}})
    event = stream.wait(3)[2]
    assert event["data"]["changes"][0]["new"]["n"] == 1
    (file,) = spool.glob("*.spool")
    assert b"specversion" not in file.read_bytes()


@pytest.mark.parametrize("number", [2, 500, 501, 1700])
def test_what_is_told_of_many_objects_is_the_same(number: int) -> None:
    event = captured(*[{"id": f"r{n}", "title": f"No {n}", "n": n} for n in range(number)], titles=("/title",))
    in_brief = [json.loads(one.body) for short in brief(event) for one in complete(short)]
    at_once = [json.loads(one.body) for one in entries(event)]
    for events in (in_brief, at_once):
        assert len({one.pop("id") for one in events}) == len(events) == -(-number // wire.MAX_CHANGES)
    assert in_brief == at_once


def test_a_share_too_long_for_an_entry_comes_in_several_the_same_each_time() -> None:
    """Names cost nothing in brief, where they are said once, but in each object of an entry."""
    flags = {f"a_name_of_some_length_{n}": True for n in range(60)}
    event = captured(*[{"id": f"r{n}", **flags} for n in range(1200)])
    shares = brief(event)
    made = [one for short in shares for one in complete(short)]
    assert len(made) > len(shares)
    assert made == [one for short in shares for one in complete(short)]
    assert len({one.id for one in made}) == len(made)
    assert [one.id for one in made] == sorted(one.id for one in made)
    assert all(len(one.body) <= wire.MAX_ENTRY_BYTES for one in made)
    told = [json.loads(one.body)["data"] for one in made]
    assert [change["id"] for data in told for change in data["changes"]] == [f"r{n}" for n in range(1200)]
    assert {(data["total"], data["parts"]) for data in told} == {(1200, len(shares))}
    assert [data["part"] for data in told] == sorted(data["part"] for data in told)


@pytest.mark.parametrize("char", ["\n", "\x1b"])
def test_what_is_twice_as_long_on_disk_is_read_back(char: str) -> None:
    """A reader believes no row of 16 MiB, and one of these characters takes two bytes there."""
    event = captured({"id": "a", "text": char * 8_388_450}, {"id": "b"})
    rows = [frame.row(frame.FINAL, 1, 1, entry, "") for entry in written(event)]
    read = [frame.parse(row + b"\n", 0, 1) for row in rows]
    bodies = [one.body for row in read if row is not None and row.entry is not None for one in complete(row.entry)]
    assert [change["id"] for body in bodies for change in json.loads(body)["data"]["changes"]] == ["a", "b"]


def test_one_large_object_does_not_make_many_shares() -> None:
    states = [{"id": f"r{n}", "text": "x" * (300_000 if n == 3 else 10)} for n in range(3000)]
    shares = brief(captured(*states))
    assert len(shares) < 30
    changes = [c for short in shares for one in complete(short) for c in json.loads(one.body)["data"]["changes"]]
    assert [change["id"] for change in changes] == [f"r{n}" for n in range(3000)]
    assert [change["id"] for change in changes if change.get("truncated")] == ["r3"]


@pytest.mark.parametrize("number", [1, 2, 501])
def test_what_is_in_doubt_says_so_when_it_is_complete(number: int) -> None:
    for short in brief(captured(*[{"id": f"r{n}"} for n in range(number)])):
        assert [json.loads(one.body)["data"]["maybe"] for one in complete(marked(short))] == [True]
