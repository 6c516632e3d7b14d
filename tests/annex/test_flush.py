"""K19: what empties Kinto's storage takes nothing out of the outbox."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import webtest

from kinto_notify.demo.servers import RedisServer
from support.kinto_app import RECORDS
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.mark.parametrize("how", ["flush", "delete of the bucket", "delete of all buckets"])
def test_k19_pending_events_survive_a(
    make_app: MakeApp, own_redis: RedisServer, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    app = make_app(url=own_redis.url, settings={"includes": "kinto.plugins.flush"})
    for path in ("/v1/buckets/b", "/v1/buckets/b/collections/c", f"{RECORDS}/r"):
        app.put_json(path)
    eventually(lambda: "the stream takes nothing" in caplog.text)
    if how == "flush":
        app.post_json("/v1/__flush__", status=202)
    else:
        app.delete("/v1/buckets/b" if how == "delete of the bucket" else "/v1/buckets", status=200)
    app.put_json("/v1/buckets/last", status=201)
    own_redis.start()
    stream = StreamReader(own_redis.url)
    eventually(lambda: stream.changes() and stream.changes()[-1][1]["id"] == "last")
    told = [(action, change["id"]) for action, change in stream.changes()]
    gone = [("delete", "b")] if how != "flush" else []
    assert told == [("create", "b"), ("create", "c"), ("create", "r"), *gone, ("create", "last")]
    stream.close()
