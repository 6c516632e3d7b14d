"""The stream behind every form of URL that the contract names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer, find_redis_server, free_port
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.stream import Stream
from support.stream import eventually

BODIES = [b'{"n":1}', b'{"n":2}']


class Sentinel(RedisServer):
    """A real sentinel that watches one master."""

    name = "sentinel"

    def __init__(self, directory: Path, master: RedisServer) -> None:
        super().__init__(directory)
        self.master = master

    def command(self) -> list[str]:
        config = self.directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor blog 127.0.0.1 {self.master.port} 1\n"
        )
        return [find_redis_server(), str(config), "--sentinel"]


def append(url: str) -> None:
    stream = Stream(url, "ns", 60)
    stream.append([Entry(str(n), body) for n, body in enumerate(BODIES)])
    stream.close()


def bodies(client: "redis.Redis") -> list[bytes]:
    return [fields[b"event"] for _, fields in client.xrange("{ns}:events")]


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["redis.Redis"]:
    server = RedisServer(tmp_path, getattr(request, "param", ()))
    while server.port > 55_000:
        # A cluster's nodes also talk on their port + 10,000.
        server.port = free_port()
    with server:
        client = redis.Redis.from_url(server.url)
        yield client
        client.close()


def port(client: "redis.Redis") -> int:
    return int(client.connection_pool.connection_kwargs["port"])


def test_a_sentinel_tells_where_the_master_is(redis_server: RedisServer, tmp_path: Path) -> None:
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    with Sentinel(tmp_path, redis_server) as sentinel:
        append(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/blog/0")
    assert bodies(client) == BODIES
    client.close()


@pytest.mark.parametrize("client", [("--cluster-enabled", "yes")], indirect=True)
def test_a_cluster(client: "redis.Redis") -> None:
    for slots in range(0, 16384, 4096):
        client.execute_command("CLUSTER", "ADDSLOTS", *range(slots, slots + 4096))
    eventually(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
    append(f"redis+cluster://127.0.0.1:{port(client)}")
    assert bodies(client) == BODIES


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with RedisServer(tmp_path, ("--unixsocket", str(path))) as server:
        append(f"unix://{path}")
        client = redis.Redis.from_url(server.url)
        assert bodies(client) == BODIES
        client.close()


def test_the_longest_retention_wins(client: "redis.Redis") -> None:
    """The daemon must know ids for as long as any Kinto may publish them again."""
    url = f"redis://127.0.0.1:{port(client)}/0"
    for retention in (60, 3600, 600):
        stream = Stream(url, "ns", retention)
        stream.append([Entry("e", b"{}")])
        stream.close()
    assert client.hget("{ns}:meta", "retention") == b"3600"
