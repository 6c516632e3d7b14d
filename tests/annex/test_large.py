"""Events and objects of any size and shape."""

import json
from collections.abc import Callable

import pytest
import webtest

from kinto_notify import wire
from kinto_notify.event import Event, parse_entry
from support.kinto_app import RECORDS
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]

#: WebOb puts a body of more than 10 kB into a temporary file, and leaves closing it to the collector.
large_body = pytest.mark.filterwarnings("ignore:.*FileIO:pytest.PytestUnraisableExceptionWarning")


def test_k15_a_plural_delete_of_30000_is_split(make_app: MakeApp, stream: StreamReader) -> None:
    """What it costs is measured by benchmarks/delete_cost.py. Kinto itself deletes 10,000 at once, unless told so."""
    number = 30_000
    app = make_app(resources="record", actions="delete", settings={"storage_max_fetch_size": str(number)})
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    storage = app.app.registry.storage
    for n in range(number):
        storage.create("record", "/buckets/b/collections/c", {"id": f"r{n}", "text": "x" * (n % 700)})
    app.delete(RECORDS)
    entries = eventually_whole(stream)
    parts = [json.loads(body)["data"] for body in entries]
    assert all(len(body) <= wire.MAX_ENTRY_BYTES for body in entries)
    assert all(len(part["changes"]) <= wire.MAX_CHANGES for part in parts)
    assert {(part["total"], part["parts"]) for part in parts} == {(number, len(parts))}
    assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
    told = [change["old"]["id"] for part in parts for change in part["changes"]]
    assert sorted(told) == sorted(f"r{n}" for n in range(number))


def eventually_whole(stream: StreamReader) -> list[bytes]:
    """All entries of the one event in the stream, once its last part is there."""
    number = stream.wait(1)[0]["data"]["parts"]
    stream.wait(number)
    return [fields[b"event"] for _, fields in stream.client.xrange(stream.key)]


@large_body
def test_k16_a_record_of_1_mb_is_cut_to_its_id(app: webtest.TestApp, stream: StreamReader) -> None:
    app.put_json(f"{RECORDS}/big", {"data": {"text": "é" * 500_000}})
    app.put_json(f"{RECORDS}/big", {"data": {"text": "small"}})
    created, updated = stream.wait(4)[2:]
    uri = "/buckets/b/collections/c/records/big"
    assert created["data"]["changes"] == [{"id": "big", "uri": uri, "new": {"id": "big"}, "truncated": True}]
    assert created["data"]["truncated"] is True
    (change,) = updated["data"]["changes"]
    assert (change["old"], change["new"]["text"], change["truncated"]) == ({"id": "big"}, "small", True)


@large_body
def test_k16_one_cut_object_does_not_cut_its_neighbours(app: webtest.TestApp, stream: StreamReader) -> None:
    bodies = [{"n": 1}, {"text": "x" * 400_000}, {"n": 3}]
    requests = [{"body": {"data": body}} for body in bodies]
    app.post_json("/v1/batch", {"defaults": {"method": "POST", "path": RECORDS}, "requests": requests})
    changes = [c for e in stream.wait(3)[2:] for c in e["data"]["changes"]]
    assert [c.get("truncated", False) for c in changes] == [False, True, False]
    assert [c["new"].get("n") for c in changes] == [1, None, 3]


@large_body
def test_k16_an_id_too_long_for_an_entry_is_cut_too(app: webtest.TestApp, stream: StreamReader) -> None:
    """Kinto takes any length, and the writer chooses."""
    app.post_json(RECORDS, {"data": {"id": "x" * 400_000}})
    app.put_json(f"{RECORDS}/next")
    stream.wait(4)
    (body, _) = [fields[b"event"] for _, fields in stream.client.xrange(stream.key)][2:]
    assert len(body) <= wire.MAX_ENTRY_BYTES
    (change,) = json.loads(body)["data"]["changes"]
    assert (set(change["id"]), change["truncated"]) == ({"x"}, True)


def test_k16_many_brackets_side_by_side_are_not_deep(app: webtest.TestApp, stream: StreamReader) -> None:
    deepest: object = "bottom"
    for _ in range(wire.MAX_DEPTH - 3):  # in the change, its state, and the state's field
        deepest = [deepest]
    wide = {"wide": [{"n": [n]} for n in range(100)], "deep": deepest}
    app.put_json(f"{RECORDS}/wide", {"data": wide})
    new = stream.wait(3)[2]["data"]["changes"][0]["new"]
    assert (new["wide"], new["deep"]) == (wide["wide"], deepest)


def test_k16_json_nested_300_deep_stays_readable(app: webtest.TestApp, stream: StreamReader) -> None:
    deep: object = "bottom"
    for _ in range(150):
        deep = {"d": [deep]}
    app.put_json(f"{RECORDS}/deep", {"data": {"deep": deep, "n": 1}})
    event = readable(stream, 3)[2]
    assert event.data.changes[0].new is not None
    assert event.data.changes[0].new["n"] == 1
    assert wire.TOO_DEEP in json.dumps(event.data.changes[0].new, ensure_ascii=False)


def test_k17_text_that_cannot_travel_is_replaced_visibly(app: webtest.TestApp, stream: StreamReader) -> None:
    body = b'{"data": {"nul": "a\\u0000b", "line": "a\\u2028b", "face": "\\ud83d\\ude00"}}'
    app.put(f"{RECORDS}/odd", body, content_type="application/json")
    new = readable(stream, 3)[2].data.changes[0].new
    assert new is not None
    assert [new[key] for key in ("nul", "line", "face")] == ["a\ufffdb", "a\u2028b", "😀"]


def test_k17_a_lone_surrogate_is_replaced() -> None:
    """Kinto 26's parser refuses it, older ones and plugins do not."""
    assert json.loads(wire.encode({"text": "a\ud800b"}))["text"] == "a\ufffdb"


def test_a_long_header_does_not_make_a_long_entry(app: webtest.TestApp, stream: StreamReader) -> None:
    app.put_json("/v1/buckets/x", headers={"User-Agent": "x" * 60_000})
    assert len(stream.wait(3)[2]["data"]["user_agent"]) == 500


def readable(stream: StreamReader, number: int) -> list[Event]:
    """The events as the daemon reads them."""
    stream.wait(number)
    return [parse_entry(fields) for _, fields in stream.client.xrange(stream.key)]
