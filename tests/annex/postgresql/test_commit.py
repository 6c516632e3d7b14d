"""On PostgreSQL a change and its event are committed together, or neither is."""

from collections.abc import Callable
from typing import Any

import psycopg2.extensions
import pytest
import transaction
import webtest
from kinto.core.events import ResourceChanged
from pyramid.httpexceptions import HTTPConflict

from support.kinto_app import RECORDS
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]
Cursor = psycopg2.extensions.cursor


def ids(stream: StreamReader) -> list[str]:
    return [change["id"] for _, change in stream.changes()]


def wait_for(stream: StreamReader, *expected: str) -> None:
    eventually(lambda: len(ids(stream)) >= len(expected))
    assert ids(stream) == list(expected)


def rows(sql: Cursor) -> int:
    sql.execute("SELECT count(*) FROM kinto_notify_outbox")
    (number,) = sql.fetchone() or (0,)
    return int(number)


def veto(event: Any) -> None:
    if "bad" in event.payload["uri"]:
        raise ValueError("no")


def test_a_write_is_published_and_its_row_kept(app: webtest.TestApp, stream: StreamReader, sql: Cursor) -> None:
    app.put_json(f"{RECORDS}/r", {"data": {"t": "quote' \" percent %s :colon \u2028 é"}})
    event = stream.wait(3)[2]
    assert event["data"]["changes"][0]["new"]["t"] == "quote' \" percent %s :colon \u2028 é"
    eventually(lambda: published(sql) == 3)
    assert rows(sql) == 3


def published(sql: Cursor) -> int:
    sql.execute("SELECT count(*) FROM kinto_notify_outbox WHERE published_at IS NOT NULL")
    (number,) = sql.fetchone() or (0,)
    return int(number)


def test_k02_a_write_vetoed_by_a_later_subscriber_leaves_no_row(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor
) -> None:
    app = make_pg_app(configure=lambda config: config.add_subscriber(veto, ResourceChanged))
    app.put_json("/v1/buckets/bad", status=500)
    app.put_json("/v1/buckets/good")
    wait_for(stream, "good")
    assert rows(sql) == 1


def test_k02_a_hook_that_fails_after_ours_leaves_no_row(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor
) -> None:
    """Our row is written by then, in the session that is rolled back."""
    written: list[int] = []

    def fail() -> None:
        from kinto.core.storage.postgresql.client import sqlalchemy

        with app.app.registry.storage.client.connect() as session:
            found = session.execute(sqlalchemy.text("SELECT count(*) FROM kinto_notify_outbox"))
            written.append(found.scalar())
        raise ValueError("no")

    def hooked(event: Any) -> None:
        if "bad" in event.payload["uri"]:
            transaction.get().addBeforeCommitHook(fail)

    app = make_pg_app(configure=lambda config: config.add_subscriber(hooked, ResourceChanged))
    app.put_json("/v1/buckets/bad", status=500)
    app.put_json("/v1/buckets/good")
    wait_for(stream, "good")
    assert written == [1]
    assert rows(sql) == 1


def test_k03_what_a_409_rolled_back_is_not_notified_although_it_answered_201(
    app: webtest.TestApp, stream: StreamReader
) -> None:
    storage = app.app.registry.storage
    create = storage.create

    def refuse(resource_name: str, parent_id: str, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if obj.get("id") == "conflict":
            raise HTTPConflict()
        return create(resource_name, parent_id, obj, *args, **kwargs)

    storage.create = refuse
    requests = [{"method": "PUT", "path": f"{RECORDS}/{name}"} for name in ("p1", "conflict", "p3")]
    answers = app.post_json("/v1/batch", {"requests": requests}).json["responses"]
    assert [answer["status"] for answer in answers] == [201, 409, 201]
    app.get(f"{RECORDS}/p1", status=404)
    app.get(f"{RECORDS}/p3", status=200)
    app.put_json("/v1/buckets/last")
    wait_for(stream, "b", "c", "p3", "last")


FAIL_AT_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON objects DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.id = 'bad') EXECUTE FUNCTION refuse();
"""


def test_k23_a_commit_that_the_database_refuses_leaves_nothing(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor
) -> None:
    app = make_pg_app()
    sql.execute(FAIL_AT_COMMIT)
    try:
        # So does Kinto without us: what a commit raises it does not know.
        app.put_json("/v1/buckets/bad", status=500)
    finally:
        sql.execute("DROP FUNCTION refuse CASCADE")
    app.put_json("/v1/buckets/good")
    wait_for(stream, "good")
    assert rows(sql) == 1


def test_a_batch_and_a_plural_delete(app: webtest.TestApp, stream: StreamReader, sql: Cursor) -> None:
    requests = [{"method": "PUT", "path": f"{RECORDS}/r{n}"} for n in range(25)]
    app.post_json("/v1/batch", {"requests": requests})
    app.delete_json(RECORDS)
    events = stream.wait(4)[2:]
    assert [(e["data"]["action"], e["data"]["total"]) for e in events] == [("create", 25), ("delete", 25)]
    assert rows(sql) == 4


def test_a_large_delete_is_written_in_several_statements(
    app: webtest.TestApp, stream: StreamReader, sql: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinto_notify.outbox.session.BATCH_BYTES", 1000)
    app.post_json("/v1/batch", {"requests": [{"method": "PUT", "path": f"{RECORDS}/r{n}"} for n in range(25)]})
    monkeypatch.setattr("kinto_notify.wire.MAX_CHANGES", 4)
    app.delete_json(RECORDS)
    events = stream.wait(3 + 7)[3:]
    assert [e["data"]["part"] for e in events] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(len(e["data"]["changes"]) for e in events) == 25


def test_an_event_notified_by_a_later_hook_is_committed_too(make_pg_app: MakeApp, stream: StreamReader) -> None:
    """What is captured when our row is written already is written in the vote."""

    def notified(event: Any) -> None:
        if event.payload["bucket_id"] == "first":
            late = ResourceChanged({**event.payload, "bucket_id": "late"}, [{"new": {"id": "late"}}], event.request)
            transaction.get().addBeforeCommitHook(event.request.registry.notify, args=(late,))

    app = make_pg_app(configure=lambda config: config.add_subscriber(notified, ResourceChanged))
    app.put_json("/v1/buckets/first")
    wait_for(stream, "first", "late")


def test_k19_flush_and_the_delete_of_a_bucket_leave_what_waits(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor
) -> None:
    away = make_pg_app(url="redis://127.0.0.1:1/0", settings={"includes": "kinto.plugins.flush"})
    away.put_json("/v1/buckets/b")
    away.put_json("/v1/buckets/b/collections/c")
    away.put_json(f"{RECORDS}/r")
    away.delete_json("/v1/buckets/b")
    away.post_json("/v1/__flush__", status=202)
    assert rows(sql) == 4
    make_pg_app().get("/v1/__lbheartbeat__")
    events = stream.wait(4)
    assert [e["data"]["action"] for e in events] == ["create", "create", "create", "delete"]
    assert events[3]["data"]["children"] == {"collection": 1, "record": 1}


def test_k05_redis_away_and_back_in_order(make_pg_app: MakeApp, stream: StreamReader, sql: Cursor) -> None:
    app = make_pg_app(url="redis://127.0.0.1:1/0")
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    for n in range(250):
        app.put_json(f"{RECORDS}/r", {"data": {"n": n}})
    assert published(sql) == 0
    make_pg_app().get("/v1/__lbheartbeat__")
    events = stream.wait(252)[2:]
    assert [e["data"]["changes"][0]["new"]["n"] for e in events] == list(range(250))
