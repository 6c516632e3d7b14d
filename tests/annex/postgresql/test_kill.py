"""Kinto or its database, killed under load: what is committed is in the stream, and nothing else."""

import os
import random
import signal

import psycopg2.extensions
import pytest

from kinto_notify.demo.servers import RedisServer
from support.postgres import PostgresKinto, PostgresServer
from support.stream import StreamReader, eventually
from support.writers import Writer

Cursor = psycopg2.extensions.cursor
#: A round takes two seconds; for more of them: KILLS=100 python -m pytest -k k01 tests/annex/postgresql
ROUNDS = int(os.environ.get("KILLS", "6"))


def stored(sql: Cursor) -> set[str]:
    sql.execute("SELECT id FROM objects WHERE resource_name = 'record' AND NOT deleted")
    return {row[0] for row in sql.fetchall()}


def notified(stream: StreamReader) -> dict[str, set[str]]:
    """The event ids that tell of each record."""
    found: dict[str, set[str]] = {}
    for event in stream.events():
        for change in event["data"]["changes"]:
            if event["data"]["resource_name"] == "record":
                found.setdefault(change["id"], set()).add(event["id"])
    return found


def start_writers(kinto: PostgresKinto, name: str, *accepted: int) -> list[Writer]:
    assert kinto.request("PUT", "/buckets/b")[0] in (200, 201)
    assert kinto.request("PUT", "/buckets/b/collections/c")[0] in (200, 201)
    # Two writes in one millisecond meet at the timestamp, and Kinto rolls one of them back.
    writers = [Writer(kinto, f"{name}-{n}", 409, *accepted) for n in range(4)]
    for writer in writers:
        writer.start()
    return writers


def check(kinto: PostgresKinto, sql: Cursor, stream: StreamReader, answered: set[str]) -> None:
    """Any request starts the relay; in the end the stream tells of what storage holds, under one event id each."""
    assert kinto.request("GET", "/__lbheartbeat__")[0] == 200
    held = stored(sql)
    assert answered <= held
    eventually(lambda: held <= set(notified(stream)))
    told = notified(stream)
    assert set(told) == held, "a phantom"
    assert all(len(events) == 1 for events in told.values())


def test_k01_kinto_is_killed(kinto: PostgresKinto, sql: Cursor, stream: StreamReader) -> None:
    answered: set[str] = set()
    for life in range(ROUNDS):
        kinto.start()
        writers = start_writers(kinto, str(life))
        enough = random.randint(1, 80)
        eventually(lambda ws=writers, e=enough: sum(len(w.answered) for w in ws) >= e)
        kinto.kill()
        for writer in writers:
            writer.join()
            answered.update(writer.answered)
    kinto.start()
    check(kinto, sql, stream, answered)
    assert not list(kinto.spool.glob("*")), "the spool was not needed"


def test_k24_the_database_crashes_in_the_middle_of_commits(
    kinto: PostgresKinto, postgres: PostgresServer, sql: Cursor, stream: StreamReader, redis_server: RedisServer
) -> None:
    """The outcome of a commit that was cut off is unknown to Kinto; the row shares it."""
    kinto.start()
    writers = start_writers(kinto, "w", 500, 503)
    for crash in range(1, 4):
        eventually(lambda n=crash: sum(len(w.answered) for w in writers) >= 40 * n)
        # At once, without a word to its clients; the next start recovers from the log.
        postgres.signal(signal.SIGQUIT)
        assert postgres.process is not None
        postgres.process.wait(30)
        before = sum(w.refused for w in writers)
        eventually(lambda b=before: sum(w.refused for w in writers) > b)
        postgres.start()
    total = sum(len(w.answered) for w in writers)
    eventually(lambda: sum(len(w.answered) for w in writers) > total)
    for writer in writers:
        writer.ended.set()
    for writer in writers:
        writer.join()
    connection = postgres.connect()
    try:
        check(kinto, connection.cursor(), stream, {record for w in writers for record in w.answered})
    finally:
        connection.close()
    assert kinto.process is not None
    assert kinto.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_waits_at_a_normal_end_is_published(
    kinto: PostgresKinto, stream: StreamReader, number: signal.Signals
) -> None:
    kinto.start()
    for n in range(20):
        assert kinto.request("PUT", f"/buckets/b{n}")[0] == 201
    assert kinto.process is not None
    kinto.process.send_signal(number)
    kinto.process.wait(30)
    kinto.start()
    assert kinto.request("GET", "/__lbheartbeat__")[0] == 200
    eventually(lambda: len({e["id"] for e in stream.events()}) == 20)
    # SIGTERM ends Kinto on the spot: what it was just publishing is published again, under the same ids.
    told = {e["id"]: e["data"]["changes"][0]["id"] for e in stream.events()}
    assert list(told.values()) == [f"b{n}" for n in range(20)]
