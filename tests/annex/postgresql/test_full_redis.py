"""A Redis that is nearly full: the rows wait in the table, unmarked, and writes go on."""

from collections.abc import Callable
from pathlib import Path

import psycopg2.extensions
import pytest
import redis
import webtest

from kinto_notify.demo.servers import RedisServer
from support.stream import StreamReader, eventually

KEY = "{kinto-notify}:events"


def test_the_table_holds_what_redis_has_no_room_for(
    make_pg_app: Callable[..., webtest.TestApp],
    sql: psycopg2.extensions.cursor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        for number in range(200):
            client.set(f"ballast:{number}", "x" * 100_000)
        used = client.info("memory")["used_memory"]
        app = make_pg_app(url=server.url)
        client.config_set("maxmemory", int(used / 0.95))
        names: list[str] = []

        def held() -> bool:
            names.append(f"b{len(names)}")
            app.put_json(f"/v1/buckets/{names[-1]}", status=201)
            return "the stream takes nothing (Redis uses 9" in caplog.text

        eventually(held)
        before = client.xlen(KEY)
        held()
        sql.execute("SELECT count(*) FROM kinto_notify_outbox WHERE published_at IS NULL")
        assert sql.fetchone() == (len(names) - before,)
        client.config_set("maxmemory", int(used / 0.5))
        stream = StreamReader(server.url)
        stream.wait(len(names))
        assert [change["id"] for _, change in stream.changes()] == names
        stream.close()
