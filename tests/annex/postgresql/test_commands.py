"""`kinto-notify relay` and `kinto-notify replay` on a Kinto with PostgreSQL."""

import signal
import subprocess
import sys

import psycopg2.extensions
import pytest

from kinto_notify.demo.servers import RedisServer
from support.daemon import command
from support.postgres import PostgresKinto, PostgresServer
from support.stream import StreamReader, eventually

Cursor = psycopg2.extensions.cursor
PREFIX = "kinto.event_listeners.notify"


def edit(kinto: PostgresKinto, old: str, new: str) -> None:
    text = kinto.ini.read_text()
    assert old in text
    kinto.ini.write_text(text.replace(old, new))


def ids(stream: StreamReader) -> list[str]:
    return [change["id"] for _, change in stream.changes()]


def write(kinto: PostgresKinto, *names: str) -> None:
    for name in names:
        assert kinto.request("PUT", f"/buckets/{name}")[0] == 201


def published(sql: Cursor) -> int:
    sql.execute("SELECT count(*) FROM kinto_notify_outbox WHERE published_at IS NOT NULL")
    (number,) = sql.fetchone() or (0,)
    return int(number)


def start_relay(kinto: PostgresKinto) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "kinto_notify", "relay", "--ini", str(kinto.ini)])


@pytest.fixture
def external(kinto: PostgresKinto) -> PostgresKinto:
    """A Kinto whose events are carried by a relay outside of it; the table needs no spool for that."""
    edit(kinto, f"{PREFIX}.spool", f"{PREFIX}.relay = external\n{PREFIX}.outbox = postgresql\n# {PREFIX}.spool")
    return kinto.start()


def test_once_publishes_what_waits(external: PostgresKinto, stream: StreamReader) -> None:
    write(external, "a", "b")
    done = command("relay", "--ini", str(external.ini), "--once")
    assert (done.returncode, done.stdout) == (0, "2 event(s) published\n")
    assert ids(stream) == ["a", "b"]
    assert command("relay", "--ini", str(external.ini), "--once").stdout == "0 event(s) published\n"


def test_once_also_empties_a_table_that_kinto_has_left_for_the_spool(
    external: PostgresKinto, stream: StreamReader
) -> None:
    write(external, "a")
    external.kill()
    edit(external, f"{PREFIX}.outbox = postgresql\n# ", f"{PREFIX}.outbox = spool\n")
    assert command("relay", "--ini", str(external.ini), "--once").stdout == "1 event(s) published\n"
    assert ids(stream) == ["a"]


def test_two_relays_serve_one_database(external: PostgresKinto, stream: StreamReader) -> None:
    relays = [start_relay(external) for _ in range(2)]
    names = [f"b{n}" for n in range(60)]
    try:
        write(external, *names[:30])
        eventually(lambda: len(ids(stream)) >= 10)
        relays[0].kill()
        relays[0].wait()
        write(external, *names[30:])
        eventually(lambda: set(names) <= set(ids(stream)))
        relays[1].send_signal(signal.SIGTERM)
        assert relays[1].wait(30) == 0
    finally:
        for relay in relays:
            relay.kill()
            relay.wait()
    told: dict[str, set[str]] = {}
    for event in stream.events():
        told.setdefault(event["data"]["changes"][0]["id"], set()).add(event["id"])
    assert list(told) == names
    assert all(len(events) == 1 for events in told.values())


def test_a_relay_waits_for_redis_and_for_the_database(
    external: PostgresKinto, postgres: PostgresServer, redis_server: RedisServer, stream: StreamReader
) -> None:
    write(external, "a")
    relay = start_relay(external)
    try:
        eventually(lambda: ids(stream) == ["a"])
        postgres.signal(signal.SIGQUIT)
        assert postgres.process is not None
        postgres.process.wait(30)
        postgres.start()
        # Kinto notices with its next request that its connections are gone.
        eventually(lambda: external.request("PUT", "/buckets/b")[0] in (200, 201))
        eventually(lambda: set(ids(stream)) == {"a", "b"})
        assert relay.poll() is None
    finally:
        relay.kill()
        relay.wait()


def test_a_relay_without_the_table_it_is_to_serve(kinto: PostgresKinto, sql: Cursor) -> None:
    edit(kinto, f"{PREFIX}.spool", f"{PREFIX}.outbox = postgresql\n{PREFIX}.spool")
    sql.execute("ALTER TABLE kinto_notify_outbox RENAME TO elsewhere")
    try:
        ended = command("relay", "--ini", str(kinto.ini), "--once")
    finally:
        sql.execute("ALTER TABLE elsewhere RENAME TO kinto_notify_outbox")
    assert ended.returncode == 78
    assert "no table kinto_notify_outbox; run `kinto migrate`" in ended.stderr
    edit(kinto, "kinto.core.storage.postgresql", "kinto.core.storage.memory")
    ended = command("relay", "--ini", str(kinto.ini), "--once")
    assert ended.returncode == 78
    assert "Kinto's storage is not PostgreSQL" in ended.stderr


def test_what_a_killed_kinto_left_in_both_outboxes(
    kinto: PostgresKinto, redis_server: RedisServer, stream: StreamReader, sql: Cursor
) -> None:
    """Events that the table did not take wait in the spool."""
    edit(kinto, f"url = {redis_server.url}", "url = redis://127.0.0.1:1/0")
    kinto.start()
    write(kinto, "a")
    sql.execute("ALTER TABLE kinto_notify_outbox ADD CONSTRAINT no_room CHECK (false) NOT VALID")
    try:
        write(kinto, "b")
    finally:
        sql.execute("ALTER TABLE kinto_notify_outbox DROP CONSTRAINT no_room")
    kinto.kill()
    edit(kinto, "url = redis://127.0.0.1:1/0", f"url = {redis_server.url}")
    done = command("relay", "--ini", str(kinto.ini), "--once")
    assert (done.returncode, done.stdout) == (0, "2 event(s) published\n")
    assert sorted(ids(stream)) == ["a", "b"]


def test_replay_publishes_again_what_redis_lost(kinto: PostgresKinto, stream: StreamReader, sql: Cursor) -> None:
    kinto.start()
    write(kinto, "old", "a")
    events = {event["data"]["changes"][0]["id"]: event["id"] for event in stream.wait(2)}
    eventually(lambda: published(sql) == 2)
    sql.execute("UPDATE kinto_notify_outbox SET published_at = now() - interval '3 hours' WHERE entry LIKE '%/old%'")
    stream.client.flushall()
    dry = command("replay", "--ini", str(kinto.ini), "--since", "2h", "--dry-run")
    assert dry.returncode == 0
    assert dry.stdout.startswith("1 event(s) would be published again")
    assert stream.events() == []
    done = command("replay", "--ini", str(kinto.ini), "--since", "2h")
    assert done.stdout.startswith("1 event(s) published again")
    assert [event["id"] for event in stream.events()] == [events["a"]]
    assert command("replay", "--ini", str(kinto.ini), "--since", "4h").stdout.startswith("2 event(s)")
    assert [event["id"] for event in stream.events()[1:]] == [events["old"], events["a"]]


@pytest.mark.parametrize("away", ["database", "redis"])
def test_replay_says_what_is_away(
    kinto: PostgresKinto, postgres: PostgresServer, redis_server: RedisServer, stream: StreamReader, away: str
) -> None:
    with kinto:
        write(kinto, "a")
        stream.wait(1)
    gone, there = (postgres, redis_server) if away == "database" else (redis_server, postgres)
    assert gone.port != there.port
    # Where nothing ever listens: a free port may be another test's a moment later.
    edit(kinto, f":{gone.port}/", ":1/")
    ended = command("replay", "--ini", str(kinto.ini), "--since", "1h")
    assert (ended.returncode, ended.stderr.count("\n")) == (69, 1)
