"""Where the objects of the contestants' Kintos are: in memory, or in a private PostgreSQL.

In: a name. Out: the settings of each contestant's storage, by its number; in PostgreSQL each has a database of its own,
with Kinto's tables and ours. The server ends with us. Fails where a server's program does.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from support.postgres import PostgresKinto, PostgresServer, find_postgres

Settings = Callable[[int], Mapping[str, str]]
_MEMORY = {f"{backend}_backend": f"kinto.core.{backend}.memory" for backend in ("storage", "cache", "permission")}


@contextlib.contextmanager
def memory() -> Iterator[Settings]:
    """Each process has its own."""
    yield lambda _number: _MEMORY


@contextlib.contextmanager
def postgresql() -> Iterator[Settings]:
    """Storage and permissions; the cache stays in memory."""
    server = PostgresServer()
    try:
        server.start()
        _settle_down(server)
        with tempfile.TemporaryDirectory(prefix="write-cost-") as place:
            # It reads its ini only: nothing listens at that Redis.
            PostgresKinto(Path(place), "redis://127.0.0.1:1/0", server.url).migrate()
        made: set[int] = set()

        def settings(number: int) -> Mapping[str, str]:
            if number not in made:
                made.add(number)
                connection = server.connect("template1")
                connection.cursor().execute(f"CREATE DATABASE bench_{number} TEMPLATE postgres")
                connection.close()
            url = server.url.replace("/postgres", f"/bench_{number}")
            stored = {f"{backend}_backend": f"kinto.core.{backend}.postgresql" for backend in ("storage", "permission")}
            return {**_MEMORY, **stored, "storage_url": url, "permission_url": url}

        yield settings
    finally:
        server.remove()


def _settle_down(server: PostgresServer) -> None:
    """What the server does by itself, now and then, would fall on whoever's turn it is."""
    connection = server.connect()
    cursor = connection.cursor()
    for setting in (
        "autovacuum = off",
        "checkpoint_timeout = '1h'",
        "max_wal_size = '8GB'",
        "synchronous_commit = off",
    ):
        cursor.execute(f"ALTER SYSTEM SET {setting}")
    cursor.execute("SELECT pg_reload_conf()")
    connection.close()


STORAGES: Mapping[str, Callable[[], contextlib.AbstractContextManager[Settings]]] = {
    "memory": memory,
    **({"postgresql": postgresql} if find_postgres() else {}),
}
