"""Hooks on PostgreSQL: looked up and checked in the write's own transaction, which nothing of ours aborts."""

from collections.abc import Callable

import psycopg2.extensions
import webtest

from support.kinto_app import RECORDS
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]
Cursor = psycopg2.extensions.cursor
BUCKET, COLLECTION = "/v1/buckets/b", "/v1/buckets/b/collections/c"
GROUP = "/buckets/b/groups/g"


def hooks(*recipients: str) -> dict[str, object]:
    return {"kinto-emailer": {"hooks": [{"template": "{id}", "recipients": list(recipients)}]}}


def test_k20_a_refused_hook_is_not_stored_and_tells_nobody(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor
) -> None:
    app = make_pg_app(hooks="true")
    app.put_json(BUCKET)
    app.put_json(COLLECTION, {"data": {"title": "as it was"}})
    app.put_json(COLLECTION, {"data": hooks("nobody")}, status=400)
    assert app.get(COLLECTION).json["data"]["title"] == "as it was"
    app.put_json(f"{RECORDS}/r", status=201)
    assert [change["id"] for _, change in (stream.wait(3), stream.changes())[1]] == ["b", "c", "r"]


def test_hooks_and_groups_are_those_of_the_writes_own_transaction(make_pg_app: MakeApp, stream: StreamReader) -> None:
    app = make_pg_app(hooks="true")
    app.put_json(BUCKET)
    # All of it in one transaction: what the record's event says is not committed yet when it is looked up.
    requests = [
        {"method": "PUT", "path": GROUP, "body": {"data": {"members": ["ldap:ann@example.org"]}}},
        {"method": "PUT", "path": "/buckets/b/collections/c", "body": {"data": hooks(GROUP)}},
        {"method": "PUT", "path": "/buckets/b/collections/c/records/r"},
    ]
    app.post_json("/v1/batch", {"requests": requests})
    by_id = {event["data"]["changes"][0]["id"]: event["data"] for event in stream.wait(4)}
    (hook,) = by_id["r"]["hooks"]
    assert (hook["home"], hook["groups"]) == ("/buckets/b/collections/c", {GROUP: ["ldap:ann@example.org"]})


def test_a_fault_while_hooks_are_looked_up_costs_the_write_nothing(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor
) -> None:
    app = make_pg_app(hooks="true")
    app.put_json(BUCKET)
    app.put_json(f"/v1{GROUP}", {"data": {"members": ["ann@example.org"]}})
    app.put_json(COLLECTION, {"data": hooks(GROUP)})
    # Storage answers each question about that group with an error of the database, which would abort the transaction.
    sql.execute(
        "CREATE FUNCTION refuse(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "ALTER TABLE objects RENAME TO objects_behind;"
        "CREATE VIEW objects AS SELECT * FROM objects_behind WHERE resource_name <> 'group' OR refuse(id)"
    )
    sql.connection.commit()
    try:
        app.put_json(f"{RECORDS}/r", {"data": {"title": "kept"}}, status=201)
    finally:
        sql.execute("DROP VIEW objects; ALTER TABLE objects_behind RENAME TO objects; DROP FUNCTION refuse(text)")
        sql.connection.commit()
    assert app.get(f"{RECORDS}/r").json["data"]["title"] == "kept"
    told = stream.wait(4)[-1]["data"]
    assert told["changes"][0]["id"] == "r"
    assert "hooks" not in told
