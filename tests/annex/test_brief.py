"""An event of one object is written down in brief, and told at length by the relay, to the letter as others are."""

import json
from pathlib import Path
from typing import Any

import pytest
import webtest

from kinto_notify import wire
from kinto_notify.outbox.brief import brief, complete
from kinto_notify.outbox.capture import Captured, Origin
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
    short = brief(captured(new))
    assert short is not None
    assert short.body.startswith(b"M")
    told = json.loads(complete(short).body)
    (other,) = entries(captured(new))
    assert told.pop("id") == short.id
    assert told == {key: value for key, value in json.loads(other.body).items() if key != "id"}
    assert complete(other) is other


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(captured({"id": "a"}, {"id": "b"}), id="two objects"),
        pytest.param(captured({"id": "a"}, extra={}), id="a further event"),
        pytest.param(captured({"id": "a"}, children={"record": 1}), id="children"),
        pytest.param(captured({"id": "a", "text": "x" * wire.MAX_ENTRY_BYTES}), id="large"),
        pytest.param(captured({"id": "a", "odd": object()}), id="no plain value"),
    ],
)
def test_what_may_need_more_is_told_at_once(event: Captured) -> None:
    assert brief(event) is None


def test_whatever_its_ids_an_entry_made_of_a_brief_one_is_not_too_long() -> None:
    long = "x" * 60_000
    payload = {**PAYLOAD, "bucket_id": long, "collection_id": long, "uri": long}
    event = Captured(1, "", payload, [{"new": {"id": long}}], ORIGIN)
    short = brief(event)
    assert short is not None
    assert len(short.body) > wire.MAX_ENTRY_BYTES // 5
    whole = complete(short)
    assert len(whole.body) <= wire.MAX_ENTRY_BYTES
    assert json.loads(whole.body)["id"] == whole.id == short.id


def test_what_grows_too_long_in_json_is_cut() -> None:
    """A control character is six bytes of JSON."""
    short = brief(captured({"id": "r", "text": "\x01" * (wire.MAX_ENTRY_BYTES // 3)}))
    assert short is not None
    (change,) = json.loads(complete(short).body)["data"]["changes"]
    assert change["truncated"]
    assert change["new"] == {"id": "r"}


@pytest.mark.parametrize("text", ["\n", "\x1b", "\x1b0", "\x1b1", "\x1b\n0\n1", "\nC 1 1 00000000\n"])
def test_no_frame_can_stand_in_a_brief_entry(text: str) -> None:
    """A row is one line in its file, and only a header's last eight characters may be a checksum."""
    short = brief(captured({"id": "r", "text": text}))
    assert short is not None
    assert b"\n" not in short.body
    assert short.body.endswith(b".")
    (change,) = json.loads(complete(short).body)["data"]["changes"]
    assert change["new"]["text"] == text


def test_what_an_older_version_left_in_a_spool_is_told() -> None:
    said = ["request", "http://localhost/v1/", "127.0.0.1", "curl/8"]
    old = Entry("id", json.dumps([1795451587241, "C", PAYLOAD, [{"new": {"id": "r"}}], said, None]).encode())
    told = json.loads(complete(old).body)
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
