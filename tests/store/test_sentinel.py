"""R09: the primary that Sentinel names: none yet, one, another one after a fail-over, and a sentinel that hangs."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer, find_redis_server
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.client import Client
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing
from support.waiting import until


class Sentinel(RedisServer):
    """A sentinel that watches one primary and is alone to decide."""

    name = "sentinel"

    def __init__(self, directory: Path, primary: RedisServer) -> None:
        super().__init__(directory)
        self.file = directory / "sentinel.conf"
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor primary 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds primary 1000\nsentinel failover-timeout primary 5000\n"
        )

    def command(self) -> Sequence[str]:
        return [find_redis_server(), str(self.file), "--sentinel"]

    def primary(self) -> int:
        """The port of the primary, as it tells."""
        with redis.Redis(port=self.port, socket_timeout=10) as client:
            return int(client.sentinel_get_master_addr_by_name("primary")[1])


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(RedisServer(tmp_path / name, ("--repl-diskless-sync-delay", "0")))
    with made[0] as first, made[1] as second:
        with redis.Redis.from_url(second.url) as client:
            client.replicaof("127.0.0.1", first.port)
            until(lambda: client.info("replication")["master_link_status"] == "up")
        yield first, second


async def test_r09_the_primary_is_who_sentinel_says(tmp_path: Path, servers: tuple[RedisServer, RedisServer]) -> None:
    first, second = servers
    sentinel, silent = Sentinel(tmp_path, first), Sentinel(tmp_path / "first", first)
    client = Client(f"redis+sentinel://127.0.0.1:{silent.port},127.0.0.1:{sentinel.port}/primary/0", "t")
    stream = Stream(client, "one")
    with pytest.raises(StoreUnavailable, match="No master found"):
        await stream.ensure_group()
    with sentinel, silent:
        # A sentinel that hangs is passed over.
        silent.signal(signal.SIGSTOP)
        await stream.ensure_group()
        (one,) = await entries(client, stream, 1)
        with redis.Redis.from_url(first.url) as direct:
            assert direct.wait(1, 10_000) == 1
        first.kill()
        until(lambda: sentinel.primary() == second.port)
        with pytest.raises(StoreUnavailable):
            await stream.pending()

        async def served() -> bool:
            try:
                return (await stream.file([filed(one, filing())], [])).filed == 1
            except StoreUnavailable:
                return False

        # Promoted, and not yet told so: a moment.
        async with asyncio.timeout(30):
            while not await served():
                pass
        assert await stream.pending() == []
        await client.close()
