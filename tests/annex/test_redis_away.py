"""Redis closed, hung, full, read-only or of another kind: a write never pays, and all is delivered afterwards."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import webtest

from kinto_notify.demo.servers import RedisServer
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.pump import BATCH_ROWS, Trouble
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.stream import Stream
from kinto_notify.relay import _BREATHE_SECONDS, Relay
from support.kinto_app import RECORDS
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


def ids(stream: StreamReader) -> list[str]:
    return [c["id"] for _, c in stream.changes()]


def write(app: webtest.TestApp, *names: str) -> None:
    for name in names:
        app.put_json(f"/v1/buckets/{name}", status=201)


def test_k05_redis_closed(make_app: MakeApp, own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(url=own_redis.url)
    write(app, "a", "b")
    eventually(lambda: "the stream takes nothing" in caplog.text)
    write(app, "c")
    own_redis.start()
    stream = StreamReader(own_redis.url)
    stream.wait(3)
    assert ids(stream) == ["a", "b", "c"]
    eventually(lambda: "takes entries again" in caplog.text)
    # One line when it begins, one when it ends.
    assert len([r for r in caplog.records if r.name.startswith("kinto_notify")]) == 2
    stream.close()


def test_k05_redis_goes_and_comes_back(make_app: MakeApp, own_redis: RedisServer) -> None:
    app = make_app(url=own_redis.start().url)
    stream = StreamReader(own_redis.url)
    write(app, "a")
    stream.wait(1)
    own_redis.kill()
    write(app, "b", "c")
    own_redis.start()
    # Appended before the kill and lost with Redis' last second, "a" is not ours to bring back.
    eventually(lambda: {"b", "c"} <= set(ids(stream)))
    stream.close()


def test_k06_redis_hung(make_app: MakeApp, own_redis: RedisServer) -> None:
    """It accepts and never answers: the relay waits, the writers do not."""
    app = make_app(url=own_redis.start().url)
    stream = StreamReader(own_redis.url)
    write(app, "a")
    stream.wait(1)
    own_redis.signal(signal.SIGSTOP)
    write(app, "b", "c")
    own_redis.signal(signal.SIGCONT)
    eventually(lambda: {"a", "b", "c"} <= set(ids(stream)))
    # What Redis had read before it hung may be there twice, under one id: the daemon drops the copy.
    by_id = {event["id"]: event["data"]["changes"][0]["id"] for event in stream.events()}
    assert sorted(by_id.values()) == ["a", "b", "c"]
    stream.close()


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        pytest.param("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", id="R06 out of memory"),
        pytest.param("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", id="R08 read-only"),
        pytest.param("SET {kinto-notify}:events text", "DEL {kinto-notify}:events", id="a key of another type"),
        pytest.param("CONFIG SET requirepass s3cret", None, id="R16 a password we were not given"),
    ],
)
def test_redis_refuses(
    make_app: MakeApp,
    own_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    break_it: str,
    mend_it: str | None,
) -> None:
    app = make_app(url=own_redis.start().url)
    admin = redis.Redis.from_url(own_redis.url)
    admin.execute_command(*break_it.split())
    write(app, "a", "b")
    eventually(lambda: "the stream takes nothing" in caplog.text)
    write(app, "c")
    if mend_it is None:
        redis.Redis.from_url(own_redis.url, password="s3cret").config_set("requirepass", "")
    else:
        admin.execute_command(*mend_it.split())
    stream = StreamReader(own_redis.url)
    stream.wait(3)
    assert ids(stream) == ["a", "b", "c"]
    stream.close()
    admin.close()


def test_trouble_is_told_though_the_outbox_cannot_be_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Counting reads the file, which may be what is broken: raised here, it would end the relay thread for good."""

    def unreadable() -> Depth:
        raise OSError("disk I/O error")

    trouble = Trouble(unreadable)
    trouble.met("closed")
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    trouble.met("still closed")
    assert "still closed" in caplog.text


def test_the_log_never_shows_the_password(
    make_app: MakeApp, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(url=own_redis.start().url.replace("redis://", "redis://user:s3cret@"))
    write(app, "a")
    eventually(lambda: "the stream takes nothing" in caplog.text)
    assert "s3cret" not in caplog.text


def test_the_order_of_an_object_is_kept_over_an_outage(make_app: MakeApp, own_redis: RedisServer) -> None:
    app = make_app(url=own_redis.url)
    write(app, "b")
    app.put_json("/v1/buckets/b/collections/c")
    for n in range(450):
        app.put_json(f"{RECORDS}/r", {"data": {"n": n}})
    own_redis.start()
    stream = StreamReader(own_redis.url)
    events = stream.wait(452)[2:]
    assert [e["data"]["changes"][0]["new"]["n"] for e in events] == list(range(450))
    stream.close()


def test_between_full_batches_of_a_backlog_the_requests_have_their_turn(
    redis_server: RedisServer, spool: Path, stream: StreamReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoding a batch is Python: without a rest, every request of that time waits for the interpreter."""
    waits: list[float | None] = []

    class Noting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return super().wait(timeout)

    directory = SpoolDirectory(spool, "ns")
    entries = [Entry(f"id-{n}", b'{"data":{}}') for n in range(3 * BATCH_ROWS)]
    # What an ended process left, and what this one has.
    claim = directory.new()
    Spool(claim).prepare(entries, final=True)
    claim.release()
    outbox = SpoolOutbox(directory, Counters(None))
    outbox.commit(outbox.prepare(entries, ""))
    adoption = Adoption(directory, StorageView(None))
    relay = Relay(outbox, lambda: Stream(redis_server.url, "ns", 1), adoption, Counters(None), 3600)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Event", Noting)
        relay.ensure_running()
    eventually(lambda: stream.client.xlen("{ns}:events") == 6 * BATCH_ROWS)
    relay.stop()
    assert waits.count(_BREATHE_SECONDS) == 6
