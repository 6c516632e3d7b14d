"""R09: the primary that Sentinel names: none yet, one, another one after a fail-over, and a sentinel that hangs."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.client import Client
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing
from support.sentinel import Sentinel, follow
from support.waiting import until


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(RedisServer(tmp_path / name, ("--repl-diskless-sync-delay", "0")))
    with made[0] as first, made[1] as second:
        follow(second, first)
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
