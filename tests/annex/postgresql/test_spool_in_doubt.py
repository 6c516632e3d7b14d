"""K24 with the spool on PostgreSQL: Kinto is killed in the middle of a COMMIT; the database knows how that ended."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator

import psycopg2.extensions
import pytest

from kinto_notify.demo.servers import free_port
from support.daemon import command
from support.postgres import PostgresKinto, PostgresServer
from support.stream import StreamReader, eventually

Cursor = psycopg2.extensions.cursor
PREFIX = "kinto.event_listeners.notify"
#: A commit that writes the bucket "slow" waits for this lock.
LOCK = 4711
WAIT_AT_COMMIT = f"""
CREATE FUNCTION wait_there() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait_there AFTER INSERT ON objects DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.id = 'slow') EXECUTE FUNCTION wait_there();
"""
COMMITTING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query = 'COMMIT'"


@pytest.fixture
def lock(postgres: PostgresServer, sql: Cursor) -> Iterator[Callable[[], None]]:
    """Hold commits up; call it to let them go on."""
    sql.execute(WAIT_AT_COMMIT)
    holder = postgres.connect()
    holder.cursor().execute(f"SELECT pg_advisory_lock({LOCK})")
    yield holder.close
    holder.close()
    sql.execute("DROP FUNCTION wait_there CASCADE")


@pytest.fixture
def committing(kinto: PostgresKinto, lock: Callable[[], None], sql: Cursor) -> int:
    """A Kinto with a spool, killed when a write of it is in the middle of its COMMIT; the backend at work on that."""
    kinto.ini.write_text(kinto.ini.read_text().replace(f"{PREFIX}.url", f"{PREFIX}.outbox = spool\n{PREFIX}.url"))
    kinto.start()

    def write() -> None:
        with contextlib.suppress(OSError):
            kinto.request("PUT", "/buckets/slow")

    writer = threading.Thread(target=write)
    writer.start()

    def waiting() -> int | None:
        sql.execute(COMMITTING)
        row = sql.fetchone()
        return row[0] if row else None

    backend: int = eventually(waiting)
    kinto.kill()
    writer.join()
    return backend


def held(sql: Cursor) -> bool:
    sql.execute("SELECT count(*) FROM objects WHERE id = 'slow' AND NOT deleted")
    return sql.fetchone() == (1,)


def ended(sql: Cursor, backend: int) -> bool:
    sql.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (backend,))
    return sql.fetchone() == (0,)


def by_command(kinto: PostgresKinto) -> None:
    done = command("relay", "--ini", str(kinto.ini), "--once")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def by_the_next_kinto(kinto: PostgresKinto) -> None:
    kinto.start()
    assert kinto.request("GET", "/__lbheartbeat__")[0] == 200


RELAYS = pytest.mark.parametrize("publish", [by_command, by_the_next_kinto])


@RELAYS
def test_k24_a_commit_that_was_finished_without_kinto_is_told(
    kinto: PostgresKinto, committing: int, lock: Callable[[], None], sql: Cursor, stream: StreamReader,
    publish: Callable[[PostgresKinto], None],
) -> None:  # fmt: skip
    lock()
    eventually(lambda: ended(sql, committing))
    assert held(sql)
    publish(kinto)
    (event,) = stream.wait(1)
    assert event["data"]["changes"][0]["id"] == "slow"
    assert "maybe" not in event["data"]


def test_k24_while_the_database_does_not_answer_what_is_in_doubt_waits(
    kinto: PostgresKinto, committing: int, lock: Callable[[], None], sql: Cursor, stream: StreamReader
) -> None:
    lock()
    eventually(lambda: ended(sql, committing))
    right = kinto.ini.read_text()
    kinto.ini.write_text(re.sub(r"(storage_url = postgresql://[^@/]*@?[^:/]*:)[0-9]+", rf"\g<1>{free_port()}", right))
    assert kinto.ini.read_text() != right
    left = set(kinto.spool.iterdir())
    done = command("relay", "--ini", str(kinto.ini), "--once")
    assert "does not say" in done.stderr
    assert "Traceback" not in done.stderr
    assert stream.events() == []
    assert left <= set(kinto.spool.iterdir())
    kinto.ini.write_text(right)
    by_command(kinto)
    (event,) = stream.wait(1)
    assert "maybe" not in event["data"]


@RELAYS
def test_k24_a_commit_that_was_undone_is_not_told(
    kinto: PostgresKinto, committing: int, lock: Callable[[], None], sql: Cursor, stream: StreamReader,
    publish: Callable[[PostgresKinto], None],
) -> None:  # fmt: skip
    sql.execute("SELECT pg_terminate_backend(%s)", (committing,))
    eventually(lambda: ended(sql, committing))
    lock()
    assert not held(sql)
    left = set(kinto.spool.iterdir())
    publish(kinto)
    # The dead Kinto's files are gone when nothing is left in doubt in them.
    eventually(lambda: not left & set(kinto.spool.iterdir()))
    if kinto.process is None:
        kinto.start()
    assert kinto.request("PUT", "/buckets/last")[0] == 201
    stream.wait(1)
    assert [change["id"] for _, change in stream.changes()] == ["last"]
