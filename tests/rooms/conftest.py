"""One private Redis for this room; each test has a namespace of its own."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from kinto_notify.demo.servers import RedisServer
from kinto_notify.store.client import Client


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    made = Client(redis_server.url, f"t-{uuid.uuid4().hex[:12]}")
    yield made
    await made.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url
