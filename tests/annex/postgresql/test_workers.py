"""K12: workers forked from a process that has loaded Kinto, on one database."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kinto_notify.demo.servers import RedisServer
from support.postgres import PostgresServer
from support.stream import StreamReader, eventually
from support.wsgi_servers import GunicornPreload


class OnPostgres(GunicornPreload):
    """Its storage comes from the environment, which wins over the ini."""

    database = ""

    def environment(self) -> Mapping[str, str]:
        named = dict(super().environment())
        for backend in ("storage", "permission"):
            named[f"KINTO_{backend.upper()}_BACKEND"] = f"kinto.core.{backend}.postgresql"
            named[f"KINTO_{backend.upper()}_URL"] = self.database
        return named


@pytest.fixture
def kinto(tmp_path: Path, redis_server: RedisServer, postgres: PostgresServer, sql: Any) -> OnPostgres:
    made = OnPostgres(tmp_path, redis_server.url, "--threads", "2")
    made.database = postgres.url
    return made


def waiting(sql: Any) -> int:
    sql.execute("SELECT count(*) FROM kinto_notify_outbox WHERE published_at IS NULL")
    return int(sql.fetchone()[0])


def test_k12_preloaded_workers_share_no_connection(kinto: OnPostgres, stream: StreamReader, sql: Any) -> None:
    def work(name: str) -> None:
        for n in range(20):
            # Two writes in one millisecond meet at the timestamp; the client tries again.
            eventually(lambda n=n: kinto.request("PUT", f"/buckets/{name}-{n}")[0] in (200, 201))

    with kinto:
        threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {f"t{number}-{n}" for number in range(6) for n in range(20)}
        eventually(lambda: expected == {change["id"] for _, change in stream.changes()})
        assert "outbox = postgresql" in kinto.log.read_text()
        assert "kinto_notify.relay" not in kinto.log.read_text()
        assert not kinto.spool.exists()
        eventually(lambda: waiting(sql) == 0)
