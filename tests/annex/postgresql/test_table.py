"""The relay's side of the table: nothing is overtaken, skipped or lost, whoever else is at it."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg2.extensions
import pytest
import webtest

from kinto_notify.errors import OutboxUnavailable, StoreUnavailable
from kinto_notify.outbox import postgresql
from kinto_notify.outbox.postgresql import Table
from kinto_notify.outbox.split import Entry
from support.postgres import PostgresServer
from support.stream import eventually

Cursor = psycopg2.extensions.cursor


@pytest.fixture
def table(postgres: PostgresServer, sql: Cursor) -> Iterator[Table]:
    made = Table(postgres.url, "here")
    yield made
    made.close()


def add(cursor: Cursor, *bodies: str, namespace: str = "here") -> None:
    for body in bodies:
        cursor.execute(
            "INSERT INTO kinto_notify_outbox (namespace, event_id, entry) VALUES (%s, %s, %s)",
            (namespace, str(uuid.uuid4()), body),
        )


class Sink:
    """What was published, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        self.entries += entries

    @property
    def bodies(self) -> list[str]:
        return [entry.body.decode() for entry in self.entries]


def test_oldest_first_and_once(table: Table, sql: Cursor) -> None:
    sink = Sink()
    add(sql, "1", "2", "3")
    add(sql, "elsewhere", namespace="other")
    assert (table.depth().rows, table.turn(sink), table.turn(sink), table.depth().rows) == (3, 3, 0, 0)
    assert sink.bodies == ["1", "2", "3"]


def test_a_transaction_that_commits_late_is_not_passed_over(
    table: Table, postgres: PostgresServer, sql: Cursor
) -> None:
    """Its number is the smaller one: whoever remembers the last number published loses it."""
    slow = postgres.connect()
    slow.autocommit = False
    add(slow.cursor(), "slow")
    add(sql, "quick")
    sink = Sink()
    table.turn(sink)
    assert sink.bodies == ["quick"]
    slow.commit()
    slow.close()
    table.turn(sink)
    assert sink.bodies == ["quick", "slow"]


def test_what_the_stream_did_not_take_is_given_again(table: Table, sql: Cursor) -> None:
    """Also a crash between the stream's yes and our mark: the same rows, under the same ids."""
    add(sql, "1", "2")
    first, second = Sink(), Sink()

    def crash(entries: Sequence[Entry]) -> None:
        first(entries)
        raise StoreUnavailable("cut off")

    with pytest.raises(StoreUnavailable):
        table.turn(crash)
    assert table.turn(second) == 2
    assert first.entries == second.entries


def test_a_batch_is_bounded_in_rows_and_bytes(table: Table, sql: Cursor, monkeypatch: pytest.MonkeyPatch) -> None:
    add(sql, *["x" * 100] * 25)
    monkeypatch.setattr(postgresql, "BATCH_ROWS", 20)
    assert table.turn(Sink()) == 20
    monkeypatch.setattr(postgresql, "BATCH_BYTES", 250)
    assert table.turn(Sink()) == 3
    monkeypatch.setattr(postgresql, "BATCH_BYTES", 1)
    assert table.turn(Sink()) == 1, "one larger than the bound goes alone"


def test_two_relays_at_once_publish_each_event_once_and_in_order(
    table: Table, postgres: PostgresServer, sql: Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "BATCH_ROWS", 7)
    add(sql, *map(str, range(500)))
    sink = Sink()
    turns = [0, 0]

    def drain(which: int) -> None:
        relay = Table(postgres.url, "here")
        while table_depth() > 0:
            turns[which] += bool(relay.turn(sink))
        relay.close()

    def table_depth() -> int:
        with lock:
            return table.depth().rows

    lock = threading.Lock()
    threads = [threading.Thread(target=drain, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.bodies == [str(n) for n in range(500)]
    assert min(turns) > 0, "one did it all alone: nothing was tried"


def test_while_one_relay_is_at_it_another_does_not_wait(table: Table, postgres: PostgresServer, sql: Cursor) -> None:
    add(sql, "1")
    other = Table(postgres.url, "here")
    elsewhere = Table(postgres.url, "other")
    add(sql, "2", namespace="other")
    inside: list[int | None] = []

    def look(_: Sequence[Entry]) -> None:
        inside.extend([other.turn(Sink()), elsewhere.turn(Sink())])

    assert table.turn(look) == 1
    assert inside == [None, 1], "one at a time for each namespace"
    other.close()
    elsewhere.close()


def test_kept_for_its_retention_and_then_dropped(table: Table, sql: Cursor) -> None:
    add(sql, "old", "young", "waits")
    sql.execute("UPDATE kinto_notify_outbox SET published_at = now() - interval '1 day' WHERE entry = 'old'")
    sql.execute("UPDATE kinto_notify_outbox SET published_at = now() WHERE entry = 'young'")
    sql.execute("UPDATE kinto_notify_outbox SET created_at = now() - interval '9 days'")
    assert table.purge(86_400 + 60) == 0
    assert table.purge(86_400 - 60) == 1
    sql.execute("SELECT entry FROM kinto_notify_outbox ORDER BY id")
    assert [row[0] for row in sql.fetchall()] == ["young", "waits"]


def test_depth_and_age(table: Table, sql: Cursor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (table.depth().rows, table.depth().age) == (0, 0.0)
    add(sql, *"12345")
    sql.execute("UPDATE kinto_notify_outbox SET created_at = now() - interval '1 hour'")
    assert table.depth().rows == 5
    assert 3600 <= table.depth().age < 3700
    monkeypatch.setattr(postgresql, "MAX_COUNTED", 3)
    assert table.depth().rows == 3


def test_a_connection_that_is_cut_is_made_anew(table: Table, sql: Cursor) -> None:
    add(sql, "1")
    assert table.depth().rows == 1
    sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND datname != ''"
    )
    with pytest.raises(OutboxUnavailable):
        table.depth()
    assert table.turn(Sink()) == 1


def test_a_server_that_is_away_is_told_without_the_password() -> None:
    away = Table("postgresql://kinto:s3cret@127.0.0.1:1/postgres", "here")
    with pytest.raises(OutboxUnavailable) as caught:
        away.depth()
    assert "refused" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://kinto:s3cret@host:port/x", "postgresql+nothing://kinto:s3cret@h/x"])
def test_a_wrong_url_is_told_without_the_password(url: str) -> None:
    with pytest.raises((OutboxUnavailable, ValueError)) as caught:
        Table(url, "here").depth()
    assert "s3cret" not in str(caught.value)


def test_depth_and_age_are_in_kintos_metrics(
    make_pg_app: Callable[..., webtest.TestApp], sql: Cursor, redis_server: Any
) -> None:
    """Kinto's Prometheus makes a summary of what is observed."""
    app = make_pg_app(url="redis://127.0.0.1:1/0", settings={"includes": "kinto.plugins.prometheus"})
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/c")

    def seen() -> float:
        lines = app.get("/v1/__metrics__").text.splitlines()
        told = dict(line.rsplit(" ", 1) for line in lines if line.startswith("kinto_kinto_notify_outbox_depth_"))
        return float(told.get("kinto_kinto_notify_outbox_depth_sum", 0))

    eventually(lambda: seen() >= 2)
