"""The relay before a Redis that fills: it slows down, holds, and goes on by itself; what is written waits meanwhile."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import webtest

from kinto_notify import pressure
from kinto_notify.demo.servers import KintoServer, RedisServer
from kinto_notify.errors import StreamHeld
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.stream import Stream
from support.daemon import PROGRAM, clean_environment
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]
KEY = "{kinto-notify}:events"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(own_redis.url) as client:
        # Beside it, what connections take is little.
        for number in range(200):
            client.set(f"ballast:{number}", "x" * 100_000)
        yield client


@pytest.fixture
def near(own_redis: RedisServer) -> Iterator[Stream]:
    stream = Stream(own_redis.url, "kinto-notify", 60)
    yield stream
    stream.close()


def fill(client: "redis.Redis", level: float) -> None:
    """Give Redis so much memory that what it holds is this part of it."""
    memory = client.info("memory")
    client.config_set("maxmemory", int((memory["used_memory"] - memory["mem_not_counted_for_evict"]) / level))


def batch(number: int = 100) -> list[Entry]:
    """A full one: after it, the relay asks again."""
    return [Entry(str(n), b"{}") for n in range(number)]


def test_it_slows_down_stops_and_begins_again(client: "redis.Redis", near: Stream) -> None:
    near.append(batch())
    assert near.rest == 0
    fill(client, 0.85)
    near.append(batch())
    assert 0.2 < near.rest < 0.8
    fill(client, 0.95)
    with pytest.raises(StreamHeld, match=r"Redis uses 9\d% of its maxmemory"):
        near.append(batch())
    # Less full, but not enough so.
    fill(client, 0.885)
    for _ in range(3):
        with pytest.raises(StreamHeld):
            near.append(batch(1))
    assert client.xlen(KEY) == 200
    fill(client, 0.85)
    near.append(batch(1))
    assert 0.2 < near.rest < 0.8
    fill(client, 0.7)
    # It asks with each hundred.
    near.append(batch())
    near.append(batch(1))
    assert near.rest == 0
    assert client.xlen(KEY) == 302


def test_without_a_limit_the_stream_has_its_own_bound(
    client: "redis.Redis", near: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that are filed, and stand there for another group, do not count."""
    monkeypatch.setattr(pressure, "MOST_UNFILED", 200)
    near.append(batch())
    near.append(batch())
    with pytest.raises(StreamHeld, match="200 entries of the stream are not filed"):
        near.append(batch())
    client.zadd("{kinto-notify}:filed", {entry: 0 for entry, _ in client.xrange(KEY, count=150)})
    near.append(batch())
    assert client.xlen(KEY) == 300


def test_the_question_is_asked_once_for_a_batch(client: "redis.Redis", near: Stream) -> None:
    """Not once for each entry: a trickle of single ones asks once a second."""
    near.append(batch(1))
    client.config_resetstat()
    for _ in range(99):
        near.append(batch(1))
    asked = client.info("commandstats").get("cmdstat_zcard", {}).get("calls", 0)
    assert asked <= 3
    for _ in range(10):
        near.append(batch())
    assert asked + 9 <= client.info("commandstats")["cmdstat_zcard"]["calls"] <= asked + 13


def test_a_user_without_the_right_to_ask_is_not_held(
    own_redis: RedisServer, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    """As the rights were that earlier versions asked for."""
    rights = ["+@connection", "+xadd", "+hget", "+hset", "+multi", "+exec"]
    client.execute_command("ACL", "SETUSER", "kinto", "on", ">secret", "~{kinto-notify}:*", *rights)
    stream = Stream(own_redis.url.replace("//", "//kinto:secret@"), "kinto-notify", 60)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            stream.append(batch())
    stream.close()
    assert client.xlen(KEY) == 500
    (told,) = (record.getMessage() for record in caplog.records)
    assert "how full Redis is can't be seen" in told


def test_the_rights_that_the_documents_name_are_enough(
    own_redis: RedisServer, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    docs = Path(__file__).parents[2] / "docs" / "operations.md"
    (line,) = [one for one in docs.read_text().splitlines() if one.startswith("ACL SETUSER kinto ")]
    client.execute_command("ACL", "SETUSER", "kinto", *line.split()[3:])
    stream = Stream(own_redis.url.replace("//", "//kinto:secret2@"), "kinto-notify", 60)
    with caplog.at_level(logging.WARNING):
        stream.append(batch())
    stream.close()
    assert caplog.records == []


def test_writes_go_on_while_the_relay_holds(
    make_app: MakeApp, own_redis: RedisServer, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(url=own_redis.url)
    stream = StreamReader(own_redis.url)
    app.put_json("/v1/buckets/a", status=201)
    stream.wait(1)
    fill(client, 0.95)
    names = ["a"]

    def held() -> bool:
        # It asks once a second: what is written just before that still goes out.
        names.append(f"b{len(names)}")
        app.put_json(f"/v1/buckets/{names[-1]}", status=201)
        return "the stream takes nothing (Redis uses 9" in caplog.text

    eventually(held)
    before = client.xlen(KEY)
    held()
    assert before < len(names)
    assert client.xlen(KEY) == before
    fill(client, 0.5)
    stream.wait(len(names))
    assert [one["id"] for _, one in stream.changes()] == names
    eventually(lambda: "takes entries again" in caplog.text)
    stream.close()


def test_the_commands_outside_kinto(tmp_path: Path, own_redis: RedisServer, client: "redis.Redis") -> None:
    """`relay --once` says that it must be called later; `replay` waits, since it would begin anew."""
    kinto = KintoServer(tmp_path, own_redis.url, "kinto.event_listeners.notify.relay = external").start()
    for number in range(5):
        assert kinto.request("PUT", f"/buckets/b{number}")[0] == 201
    kinto.kill()

    def told(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "kinto_notify", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    fill(client, 0.95)
    held = told("relay", "--ini", str(kinto.ini), "--once")
    assert (held.returncode, held.stdout) == (75, "")
    assert "Redis uses 9" in held.stderr
    assert client.xlen(KEY) == 0
    fill(client, 0.5)
    assert told("relay", "--ini", str(kinto.ini), "--once").stdout == "5 event(s) published\n"
    fill(client, 0.95)
    replay = subprocess.Popen(
        [PROGRAM, "replay", "--ini", str(kinto.ini), "--since", "1h"],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert replay.stderr is not None
        assert "waiting for the daemons to make room" in replay.stderr.readline()
        assert client.xlen(KEY) == 5
        fill(client, 0.5)
        out, err = replay.communicate(timeout=60)
        assert out.startswith("5 event(s) published again")
        assert err == ""
    finally:
        replay.kill()
        replay.wait()
    assert client.xlen(KEY) == 10
