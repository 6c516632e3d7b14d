"""What the table does not take goes to the spool, or refuses the write where that was asked for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
import transaction
import webtest
from kinto.core.events import ResourceChanged

from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.survey import survey
from support.kinto_app import RECORDS
from support.postgres import PostgresServer
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]
Cursor = psycopg2.extensions.cursor


@pytest.fixture
def full(sql: Cursor) -> Iterator[Callable[[], None]]:
    """A table that takes nothing, as on a full disk; call it to make room."""

    def make_room() -> None:
        sql.execute("ALTER TABLE kinto_notify_outbox DROP CONSTRAINT IF EXISTS no_room")

    sql.execute("ALTER TABLE kinto_notify_outbox ADD CONSTRAINT no_room CHECK (false) NOT VALID")
    yield make_room
    make_room()


def ids(stream: StreamReader) -> list[str]:
    return [change["id"] for _, change in stream.changes()]


def test_k10_a_table_that_takes_nothing_does_not_abort_the_write(
    make_pg_app: MakeApp, stream: StreamReader, full: Callable[[], None], spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_pg_app()
    app.put_json("/v1/buckets/b", {"data": {"secret": "hidden"}}, status=201)
    app.get("/v1/buckets/b", status=200)
    eventually(lambda: ids(stream) == ["b"])
    assert "could not keep an event in PostgreSQL, spooled: CheckViolation" in caplog.text
    assert "hidden" not in caplog.text, "the statement's values are records"
    assert [path.suffix for path in spool.iterdir() if path.suffix == ".spool"] == [".spool"]
    full()
    app.put_json("/v1/buckets/c")
    eventually(lambda: ids(stream) == ["b", "c"])


def fail() -> None:
    raise ValueError("no")


class Refusing:
    """A data manager that refuses the commit, after our vote."""

    transaction_manager = transaction.manager

    def sortKey(self) -> str:
        return "refusing"

    def tpc_vote(self, _transaction: Any) -> None:
        fail()

    def nothing(self, _transaction: Any) -> None:
        pass

    abort = tpc_begin = commit = tpc_finish = tpc_abort = nothing


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(lambda: transaction.get().addBeforeCommitHook(fail), id="before the vote"),
        pytest.param(lambda: transaction.get().join(Refusing()), id="in the vote"),
    ],
)
def test_k10_a_spooled_event_is_rolled_back_with_its_write(
    make_pg_app: MakeApp, stream: StreamReader, full: Callable[[], None], spool: Path, refuse: Callable[[], None]
) -> None:
    def refused(event: Any) -> None:
        if "bad" in event.payload["uri"]:
            refuse()

    app = make_pg_app(configure=lambda config: config.add_subscriber(refused, ResourceChanged))
    app.put_json("/v1/buckets/bad", status=500)
    app.get("/v1/buckets/bad", status=[403, 404])
    app.put_json("/v1/buckets/good")
    eventually(lambda: ids(stream) == ["good"])
    (path,) = spool.glob("*.spool")
    with path.open("rb") as file:
        assert survey(file.fileno(), 0).in_doubt == {}


def test_k10_strict_refuses_the_write_and_nothing_is_committed(
    make_pg_app: MakeApp, stream: StreamReader, full: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_pg_app(strict="true")
    refused = app.put_json("/v1/buckets/b", status=503)
    assert "Retry-After" in refused.headers
    assert "the write is refused: CheckViolation" in caplog.text
    app.get("/v1/buckets/b", status=[403, 404])
    full()
    app.put_json("/v1/buckets/b", status=201)
    eventually(lambda: ids(stream) == ["b"])


def test_strict_refuses_what_could_not_be_captured(
    make_pg_app: MakeApp, stream: StreamReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_pg_app(strict="true")
    monkeypatch.setattr("kinto_notify.listener.capture", None)
    app.put_json("/v1/buckets/b", status=503)
    monkeypatch.undo()
    app.get("/v1/buckets/b", status=[403, 404])


def test_a_locked_table_holds_up_no_write(
    make_pg_app: MakeApp, stream: StreamReader, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_pg_app()
    other = postgres.connect()
    other.autocommit = False
    other.cursor().execute("LOCK TABLE kinto_notify_outbox")
    # Were it not for the limit, this would wait for ever.
    app.put_json("/v1/buckets/b", status=201)
    assert "LockNotAvailable" in caplog.text
    other.close()
    eventually(lambda: ids(stream) == ["b"])


def test_a_transaction_that_is_lost_already_is_not_notified(
    make_pg_app: MakeApp, stream: StreamReader, caplog: pytest.LogCaptureFixture
) -> None:
    """After a fault that somebody swallowed, PostgreSQL answers a commit with a rollback, and says so to nobody."""
    from kinto.core.storage.postgresql.client import sqlalchemy

    def swallowed(event: Any) -> None:
        if "bad" in event.payload["uri"]:
            session = event.request.registry.storage.client.session_factory()
            with pytest.raises(sqlalchemy.exc.ProgrammingError):
                session.execute(sqlalchemy.text("SELECT nothing_of_this_name"))

    app = make_pg_app(configure=lambda config: config.add_subscriber(swallowed, ResourceChanged))
    app.put_json("/v1/buckets/bad", status=201)
    app.get("/v1/buckets/bad", status=[403, 404])
    assert "nor can the write be committed" in caplog.text
    app.put_json("/v1/buckets/good")
    eventually(lambda: ids(stream) == ["good"])


def test_a_dropped_table_stops_neither_writes_nor_the_spool(
    make_pg_app: MakeApp, stream: StreamReader, sql: Cursor, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_pg_app()
    sql.execute("ALTER TABLE kinto_notify_outbox RENAME TO elsewhere")
    try:
        app.put_json("/v1/buckets/b", status=201)
        eventually(lambda: ids(stream) == ["b"])
        eventually(lambda: "UndefinedTable" in caplog.text)
    finally:
        sql.execute("ALTER TABLE elsewhere RENAME TO kinto_notify_outbox")
    app.put_json("/v1/buckets/c", status=201)
    eventually(lambda: ids(stream) == ["b", "c"])


def test_k03_a_question_to_storage_that_fails_does_not_abort_the_write(
    app: webtest.TestApp, stream: StreamReader, sql: Cursor, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes with a deleted bucket is counted in the writer's transaction."""
    storage = app.app.registry.storage

    def count_all(*_: Any, **__: Any) -> int:
        from kinto.core.storage.postgresql.client import sqlalchemy

        with storage.client.connect(readonly=True) as session:
            session.execute(sqlalchemy.text("SELECT pg_sleep(60)"))
        return 0

    storage.count_all = count_all
    app.delete_json("/v1/buckets/b", status=200)
    app.get("/v1/buckets/b", status=[403, 404])
    assert "canceling statement due to statement timeout" in caplog.text
    deleted = stream.wait(3)[2]["data"]
    assert (deleted["action"], "children" in deleted) == ("delete", False)


def test_other_drivers_send_one_statement_at_a_time(
    app: webtest.TestApp, stream: StreamReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg 3 prepares statements, which takes them one by one; here its name is enough."""
    dialect = app.app.registry.storage.client.session_factory.get_bind().dialect
    monkeypatch.setattr(dialect, "driver", "psycopg")
    app.put_json(f"{RECORDS}/r")
    eventually(lambda: ids(stream) == ["b", "c", "r"])


def test_asking_storage_about_a_spool_leaves_no_transaction_open(
    make_pg_app: MakeApp, stream: StreamReader, spool: Path, sql: Cursor
) -> None:
    """K24's neighbour: rows in doubt are decided by reading Kinto's storage from the relay's thread."""
    from kinto_notify.outbox.directory import SpoolDirectory
    from kinto_notify.outbox.split import Entry

    claim = SpoolDirectory(spool, "kinto-notify").new()
    orphan = Spool(claim)
    probe = '[["bucket", "", "never-was", 1]]'
    orphan.prepare([Entry("01a2094d-5c9e-7261-ab56-3a97c6c6fa25", b"{}")], probe)
    orphan.close()
    claim.release()
    make_pg_app().put_json("/v1/buckets/b")
    eventually(lambda: ids(stream) == ["b"])
    eventually(lambda: not list(spool.glob("*.spool")))

    def open_transactions() -> int:
        sql.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        (number,) = sql.fetchone() or (0,)
        return int(number)

    eventually(lambda: open_transactions() == 0)
