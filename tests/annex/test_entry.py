"""The stream's entries are those of the contract, for every kind of write to a real Kinto."""

import uuid
from collections.abc import Callable
from datetime import datetime

import webtest

from kinto_notify import wire
from support.kinto_app import RECORDS
from support.stream import StreamReader

COMMON = {"action", "resource_name", "timestamp", "user_id", "uri", "event", "root_url", "client_address",
          "user_agent", "changes", "total", "request_id"}  # fmt: skip


def test_a_created_bucket_is_an_entry_exactly_as_the_contract_says(
    make_app: Callable[..., webtest.TestApp], stream: StreamReader
) -> None:
    app = make_app()
    answer = app.put_json(
        "/v1/buckets/b",
        {"data": {"title": "Blog"}},
        headers={"User-Agent": "curl/8"},
        extra_environ={"REMOTE_ADDR": "192.0.2.7"},
    ).json
    (event,) = stream.wait(1)
    data = event.pop("data")
    assert uuid.UUID(event["id"]).version == 7
    assert datetime.fromisoformat(event["time"]).utcoffset().total_seconds() == 0
    assert len(event["time"]) == len("2026-11-23T15:29:42.834Z")
    del event["id"], event["time"]
    assert event == {
        "specversion": "1.0",
        "source": "http://localhost/v1/",
        "type": "org.kinto-storage.bucket.create",
        "subject": "/",
        "datacontenttype": "application/json",
        "dataschema": wire.DATA_SCHEMA,
    }
    uuid.UUID(data.pop("request_id"))
    stored = answer["data"]
    assert data == {
        "action": "create",
        "resource_name": "bucket",
        "timestamp": stored["last_modified"],
        "user_id": answer["permissions"]["write"][0],
        "uri": "/buckets/b",
        "bucket_id": "b",
        "event": "kinto.core.events.ResourceChanged",
        "root_url": "http://localhost/v1/",
        "client_address": "192.0.2.7",
        "user_agent": "curl/8",
        "title": "Blog",
        "total": 1,
        "changes": [{"id": "b", "uri": "/buckets/b", "new": stored}],
    }


def test_each_resource_says_what_changed_from_what_to_what(app: webtest.TestApp, stream: StreamReader) -> None:
    cases = [
        ("group", "/buckets/b/groups/g", "/buckets/b", {"members": ["x"]}, {"members": []}),
        ("collection", "/buckets/b/collections/d", "/buckets/b", {"n": 1}, {"n": 2}),
        ("record", "/buckets/b/collections/c/records/r", "/buckets/b/collections/c", {"n": 1}, {"n": 2}),
        ("bucket", "/buckets/x", "/", {"n": 1}, {"n": 2}),
    ]
    for name, uri, parent, first, second in cases:
        seen = len(stream.wait(2 if name == "group" else 0))
        created = app.put_json(f"/v1{uri}", {"data": first}).json["data"]
        updated = app.patch_json(f"/v1{uri}", {"data": second}).json["data"]
        deleted = app.delete(f"/v1{uri}").json["data"]
        events = stream.wait(seen + 3)[seen:]
        assert [e["type"] for e in events] == [
            f"org.kinto-storage.{name}.{action}" for action in ("create", "update", "delete")
        ]
        assert {e["subject"] for e in events} == {parent}
        assert [e["data"]["changes"] for e in events] == [
            [{"id": uri.rpartition("/")[2], "uri": uri, "new": created}],
            [{"id": uri.rpartition("/")[2], "uri": uri, "old": created, "new": updated}],
            [{"id": uri.rpartition("/")[2], "uri": uri, "old": updated, "new": deleted}],
        ]
        assert all(set(e["data"]) >= COMMON for e in events)
        stream.client.delete(stream.key)


def test_a_batch_of_25_is_one_event_and_one_request(app: webtest.TestApp, stream: StreamReader) -> None:
    body = {
        "defaults": {"method": "POST", "path": RECORDS},
        "requests": [{"body": {"data": {"n": n}}} for n in range(24)]
        + [{"method": "PUT", "path": "/v1/buckets/b/groups/g", "body": {"data": {"members": []}}}],
    }
    app.post_json("/v1/batch", body)
    records, group = stream.wait(4)[2:]
    assert [c["new"]["n"] for c in records["data"]["changes"]] == list(range(24))
    assert records["data"]["total"] == 24
    assert all(c["uri"] == f"/buckets/b/collections/c/records/{c['id']}" for c in records["data"]["changes"])
    assert group["type"] == "org.kinto-storage.group.create"
    assert group["data"]["request_id"] == records["data"]["request_id"]
    assert "parts" not in records["data"]


def test_each_change_of_a_batch_has_its_own_uri(app: webtest.TestApp, stream: StreamReader) -> None:
    paths = [f"/v1/buckets/b/collections/{name}" for name in ("d", "e")]
    app.post_json("/v1/batch", {"requests": [{"method": "PUT", "path": path} for path in paths]})
    assert [c["uri"] for c in stream.wait(3)[2]["data"]["changes"]] == [path[3:] for path in paths]


def test_two_collections_in_one_batch_are_two_events_with_their_parents(
    app: webtest.TestApp, stream: StreamReader
) -> None:
    app.put_json("/v1/buckets/b/collections/d")
    paths = [f"/v1/buckets/b/collections/{name}/records" for name in ("c", "d")]
    app.post_json("/v1/batch", {"requests": [{"method": "POST", "path": path} for path in paths]})
    assert [e["subject"] for e in stream.wait(5)[3:]] == ["/buckets/b/collections/c", "/buckets/b/collections/d"]


def test_a_plural_delete_tells_each_object_with_its_old_state(app: webtest.TestApp, stream: StreamReader) -> None:
    olds = [app.post_json(RECORDS, {"data": {"n": n}}).json["data"] for n in range(5)]
    app.delete(RECORDS)
    event = stream.wait(8)[-1]
    assert event["data"]["action"] == "delete"
    assert "record_id" not in event["data"]
    assert sorted((c["old"] for c in event["data"]["changes"]), key=lambda o: o["n"]) == olds
    assert all(c["new"]["deleted"] for c in event["data"]["changes"])


def test_the_delete_of_a_bucket_tells_how_much_went_with_it(app: webtest.TestApp, stream: StreamReader) -> None:
    """K18: Kinto tells nothing of the children."""
    app.put_json("/v1/buckets/b/groups/g", {"data": {"members": []}})
    for _ in range(3):
        app.post_json(RECORDS)
    app.delete("/v1/buckets/b")
    event = stream.wait(7)[-1]
    assert event["data"]["children"] == {"collection": 1, "group": 1, "record": 3}
    assert event["data"]["title"] == "Blog"


def test_the_default_bucket_is_made_on_the_way_and_told_by_its_own_uri(
    make_app: Callable[..., webtest.TestApp], stream: StreamReader
) -> None:
    app = make_app(settings={"includes": "kinto.plugins.default_bucket"})
    app.post_json("/v1/buckets/default/collections/todo/records", {"data": {"n": 1}})
    bucket, collection, record = stream.wait(3)
    bucket_id = app.get("/v1/buckets/default").json["data"]["id"]
    assert bucket["data"]["changes"][0]["uri"] == f"/buckets/{bucket_id}"
    assert collection["data"]["changes"][0]["uri"] == f"/buckets/{bucket_id}/collections/todo"
    assert record["subject"] == f"/buckets/{bucket_id}/collections/todo"


def test_an_anonymous_write_has_no_user_id(make_app: Callable[..., webtest.TestApp], stream: StreamReader) -> None:
    app = make_app(settings={"bucket_create_principals": "system.Everyone"})
    app.authorization = None
    app.put_json("/v1/buckets/b")
    assert "user_id" not in stream.wait(1)[0]["data"]


def test_kintos_own_filters_hold(make_app: Callable[..., webtest.TestApp], stream: StreamReader) -> None:
    app = make_app(actions="delete", resources="bucket")
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    app.delete("/v1/buckets/b")
    app.put_json("/v1/buckets/last")
    app.delete("/v1/buckets/last")
    assert [e["data"]["uri"] for e in stream.wait(2)] == ["/buckets/b", "/buckets/last"]


def test_both_ways_on_capture_a_change_once(make_app: Callable[..., webtest.TestApp], stream: StreamReader) -> None:
    def settings(url: str) -> dict[str, str]:
        return {"includes": "kinto_notify", "notify.url": url}

    url = f"redis://127.0.0.1:{stream.client.connection_pool.connection_kwargs['port']}/0"
    app = make_app(settings=settings(url))
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/last")
    assert [e["data"]["uri"] for e in stream.wait(2)] == ["/buckets/b", "/buckets/last"]


def test_the_retention_is_told_to_the_daemon(app: webtest.TestApp, stream: StreamReader) -> None:
    stream.wait(2)
    assert stream.client.hget("{kinto-notify}:meta", "retention") == b"86400"
