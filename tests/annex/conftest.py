"""One private Redis for this room; each test has its own namespace's worth of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import webtest

from kinto_notify.demo.servers import RedisServer
from support.kinto_app import close, kinto_app, listening
from support.stream import StreamReader


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def stream(redis_server: RedisServer) -> Iterator[StreamReader]:
    reader = StreamReader(redis_server.url)
    reader.client.flushall()
    yield reader
    reader.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def make_app(stream: StreamReader, redis_server: RedisServer, spool: Path) -> Iterator[Callable[..., webtest.TestApp]]:
    """Make a Kinto with the listener; keyword `settings` adds to Kinto's, `listener` to the listener's."""
    made: list[webtest.TestApp] = []

    def make(*, settings: dict[str, str] | None = None, configure: Any = None, **listener: str) -> webtest.TestApp:
        own = {"url": redis_server.url, "spool": str(spool), **listener}
        full = {**listening(own.pop("url"), **own), **(settings or {})}
        made.append(kinto_app(full, configure))
        return made[-1]

    yield make
    for app in made:
        close(app)


@pytest.fixture
def app(make_app: Callable[..., webtest.TestApp]) -> webtest.TestApp:
    """A Kinto with a bucket and a collection, whose two events are the first of the stream."""
    made = make_app()
    made.put_json("/v1/buckets/b", {"data": {"title": "Blog"}})
    made.put_json("/v1/buckets/b/collections/c", {"data": {}})
    return made
