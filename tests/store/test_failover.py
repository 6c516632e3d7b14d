"""R08: a server that became a replica keeps our connections, and takes no writes: ask the name again."""

from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.client import Client
from kinto_notify.store.stream import Stream


async def test_r08_the_name_is_asked_again_after_a_failover(tmp_path: Path) -> None:
    name = tmp_path / "name"
    servers = []
    for number in ("one", "two"):
        directory = tmp_path / number
        directory.mkdir()
        servers.append(RedisServer(directory, ("--unixsocket", str(directory / "socket"))))
    with servers[0] as first, servers[1] as second:
        name.symlink_to(tmp_path / "one" / "socket")
        client = Client(f"unix://{name}", "t")
        stream = Stream(client, "one")
        await stream.ensure_group()
        await stream.leave()
        with redis.Redis.from_url(first.url) as operator:
            operator.replicaof("127.0.0.1", second.port)
        name.unlink()
        name.symlink_to(tmp_path / "two" / "socket")
        with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
            await stream.leave()
        await stream.ensure_group()
        await stream.leave()
        with redis.Redis.from_url(second.url) as operator:
            assert operator.exists(client.stream)
        await client.close()
