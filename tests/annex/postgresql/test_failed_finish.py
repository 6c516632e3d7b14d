"""Another data manager fails when the database has committed: the change stands, and so does its event.

PostgreSQL commits in its vote (one phase). `transaction` then calls `tpc_abort` on everybody, ours too.
"""

from collections.abc import Callable
from typing import Any

import psycopg2.extensions
import pytest
import transaction
import webtest
from kinto.core.events import ResourceChanged

from support.kinto_app import close
from support.postgres import PostgresServer
from support.proxy import Proxy
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]
Cursor = psycopg2.extensions.cursor


class Failing:
    """Finishes badly, or votes badly after the database; sorts before or after us."""

    transaction_manager = transaction.manager

    def __init__(self, key: str, at: str) -> None:
        self.key, self.at = key, at

    def sortKey(self) -> str:
        return self.key

    def tpc_vote(self, _transaction: Any) -> None:
        if self.at == "vote":
            raise ValueError("no")

    def tpc_finish(self, _transaction: Any) -> None:
        if self.at == "finish":
            raise ValueError("too late")

    def nothing(self, _transaction: Any) -> None:
        pass

    abort = tpc_begin = commit = tpc_abort = nothing


@pytest.mark.parametrize(
    ("key", "at", "stands"),
    [
        ("a", "finish", True),
        ("z", "finish", True),
        ("~~", "vote", True),
        ("a", "vote", False),
        ("z", "vote", False),
    ],
)
@pytest.mark.parametrize("outbox", ["spool", "postgresql"])
def test_an_event_is_told_if_and_only_if_its_change_stands(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor, outbox: str, key: str, at: str, stands: bool
) -> None:
    def join(event: Any) -> None:
        if event.impacted_objects[0]["new"]["id"] == "odd":
            transaction.get().join(Failing(key, at))

    app = make_pg_app(outbox=outbox, configure=lambda config: config.add_subscriber(join, ResourceChanged))
    app.put_json("/v1/buckets/odd", status=500)
    sql.execute("SELECT count(*) FROM objects WHERE id = 'odd' AND NOT deleted")
    assert sql.fetchone() == (int(stands),)
    app.put_json("/v1/buckets/even", status=201)
    expected = ["odd", "even"] if stands else ["even"]
    eventually(lambda: len(stream.changes()) >= len(expected))
    assert [change["id"] for _, change in stream.changes()] == expected


@pytest.mark.parametrize("outbox", ["spool", "postgresql"])
def test_k24_a_commit_whose_reply_is_lost(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor, postgres: PostgresServer, outbox: str
) -> None:
    """It was carried out, and Kinto answers 500. The spool tells of it, marked; the table knows."""
    with Proxy(postgres.port) as proxy:
        url = postgres.url.replace(f":{postgres.port}/", f":{proxy.port}/")
        app = make_pg_app(outbox=outbox, settings={"storage_url": url, "permission_url": url})
        proxy.swallow = b"COMMIT"
        app.put_json("/v1/buckets/odd", status=[500, 503])
        assert proxy.swallowed == 1
        sql.execute("SELECT count(*) FROM objects WHERE id = 'odd' AND NOT deleted")
        assert sql.fetchone() == (1,)
        (event,) = stream.wait(1)
        assert event["data"]["changes"][0]["id"] == "odd"
        assert event["data"].get("maybe", False) is (outbox == "spool")
        close(app)
