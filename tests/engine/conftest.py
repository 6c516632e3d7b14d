"""One private Redis that runs the very Lua that decides when a digest is due."""

from collections.abc import Iterator

import pytest
import redis

from kinto_notify.demo.servers import RedisServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        client = redis.Redis.from_url(started.url)
        yield client
        client.close()
