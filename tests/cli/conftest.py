"""One private Redis for this room, a scripted smarthost and a desk for each test."""

from collections.abc import Iterator

import pytest

from kinto_notify.demo.servers import RedisServer
from support.desk import Desk
from support.smtp_server import SmtpServerThread


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def smtp() -> Iterator[SmtpServerThread]:
    with SmtpServerThread() as server:
        yield server


@pytest.fixture
def desk(redis_server: RedisServer, smtp: SmtpServerThread) -> Desk:
    return Desk(redis_server.url, smtp.url)


@pytest.fixture
def nowhere(free_url: str) -> Desk:
    """A desk where nothing listens: no Redis, no smarthost."""
    return Desk(f"redis://{free_url}/0", f"smtp://{free_url}")


@pytest.fixture
def free_url() -> str:
    from kinto_notify.demo.servers import free_port

    return f"127.0.0.1:{free_port()}"
