"""Sentinels on loopback, and a primary with replicas for them to watch."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer, find_redis_server
from support.waiting import until


class Sentinel(RedisServer):
    """A sentinel that watches one primary; with a quorum of 1 it is alone to decide."""

    name = "sentinel"

    def __init__(self, directory: Path, primary: RedisServer, quorum: int = 1) -> None:
        super().__init__(directory)
        self.file = directory / "sentinel.conf"
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor primary 127.0.0.1 {primary.port} {quorum}\n"
            "sentinel down-after-milliseconds primary 1000\nsentinel failover-timeout primary 5000\n"
        )

    def command(self) -> Sequence[str]:
        return [find_redis_server(), str(self.file), "--sentinel"]

    def primary(self) -> int:
        """The port of the primary, as it tells."""
        with redis.Redis(port=self.port, socket_timeout=10) as client:
            return int(client.sentinel_get_master_addr_by_name("primary")[1])

    def knows(self) -> tuple[int, int]:
        """How many replicas and other sentinels it has found."""
        with redis.Redis(port=self.port, socket_timeout=10) as client:
            told = client.sentinel_master("primary")
            return int(told["num-slaves"]), int(told["num-other-sentinels"])


class Guarded:
    """A primary, two replicas, and three sentinels of which two must agree."""

    def __init__(self, servers: list[RedisServer], sentinels: list[Sentinel]) -> None:
        self.servers, self.sentinels = servers, sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/primary/0"

    def primary(self) -> RedisServer:
        """The server that most sentinels call the primary."""
        named = [one.primary() for one in self.sentinels]
        port = max(set(named), key=named.count)
        return next(one for one in self.servers if one.port == port)

    def fail_over(self) -> RedisServer:
        """Kill the primary, wait until all sentinels name another one, and return that."""
        gone = self.primary()
        gone.kill()
        until(lambda: all(one.primary() != gone.port for one in self.sentinels), 60)
        return self.primary()


@contextlib.contextmanager
def guarded(directory: Path) -> Iterator[Guarded]:
    with contextlib.ExitStack() as ending:
        servers = []
        for number in range(3):
            (directory / f"redis-{number}").mkdir()
            server = RedisServer(directory / f"redis-{number}", ("--repl-diskless-sync-delay", "0"))
            servers.append(ending.enter_context(server))
        for replica in servers[1:]:
            follow(replica, servers[0])
        sentinels = []
        for number in range(3):
            (directory / f"sentinel-{number}").mkdir()
            sentinel = Sentinel(directory / f"sentinel-{number}", servers[0], 2)
            sentinels.append(ending.enter_context(sentinel))
        until(lambda: all(one.knows() == (2, 2) for one in sentinels), 60)
        yield Guarded(servers, sentinels)


def follow(replica: RedisServer, primary: RedisServer) -> None:
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", primary.port)
        until(lambda: client.info("replication")["master_link_status"] == "up")
