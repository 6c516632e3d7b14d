"""A Redis Cluster of three masters on loopback, without replicas."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer, free_port
from support.stream import eventually

_SLOTS = 16384


class ClusterNode(RedisServer):
    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        super().__init__(directory, ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
        while self.port > 55_000:
            # Nodes also talk on their port + 10,000.
            self.port = free_port()

    def connect(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, socket_timeout=10)


class Cluster:
    """Its nodes and a client of each; the slots are dealt out evenly."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes
        self.clients = [node.connect() for node in nodes]
        self.names = [str(client.execute_command("CLUSTER MYID"), "ascii") for client in self.clients]
        #: Slots that were moved, and where they are now.
        self._moved: dict[int, int] = {}

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def slot(self, key: str) -> int:
        return int(self.clients[0].execute_command("CLUSTER", "KEYSLOT", key))

    def join(self) -> None:
        share = _SLOTS // len(self.nodes) + 1
        for number, client in enumerate(self.clients):
            slots = range(number * share, min((number + 1) * share, _SLOTS))
            client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            # Nodes that join with equal epochs settle that among themselves only after a while.
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self.clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        eventually(lambda: all(self._whole(client) for client in self.clients))

    def owner(self, key: str) -> int:
        """Say which node has a key; its stream is there, or would be."""
        slot = self.slot(key)
        return self._moved.get(slot, slot // (_SLOTS // len(self.nodes) + 1))

    def move(self, key: str, to: int) -> None:
        """Move the slot of a key with all keys in it, as `redis-cli --cluster reshard` does."""
        self.begin_move(key, to)
        while self.move_some(key, to, 100):
            pass
        self.end_move(key, to)

    def begin_move(self, key: str, to: int) -> None:
        source, slot = self.owner(key), self.slot(key)
        self.clients[to].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.names[source])
        self.clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.names[to])

    def move_some(self, key: str, to: int, number: int) -> int:
        """Move so many keys of the slot; say how many there were."""
        source = self.clients[self.owner(key)]
        if keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot(key), number):
            source.execute_command("MIGRATE", "127.0.0.1", self.nodes[to].port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, key: str, to: int) -> None:
        slot = self.slot(key)
        for client in (self.clients[to], *self.clients):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.names[to])
        self._moved[slot] = to

    def guard(self, key: str, replica: ClusterNode) -> None:
        """Let a further node follow the one that has a key, to take its place if it dies."""
        owner = self.owner(key)
        with replica.connect() as client:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[owner].port)
            eventually(lambda: self._knows(client, self.names[owner]))
            client.execute_command("CLUSTER", "REPLICATE", self.names[owner])
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        eventually(
            lambda: all(one.execute_command("CLUSTER INFO")["cluster_known_nodes"] == "4" for one in self.clients)
        )

    def _knows(self, client: "redis.Redis", name: str) -> bool:
        return any(node["node_id"] == name for node in client.cluster("NODES").values())

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def _whole(self, client: "redis.Redis") -> bool:
        told = client.execute_command("CLUSTER INFO")
        return told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == len(self.nodes)


@contextlib.contextmanager
def cluster_of_three(directory: Path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as ending:
        nodes = [ending.enter_context(ClusterNode(directory / f"node-{number}")) for number in range(3)]
        cluster = Cluster(nodes)
        ending.callback(cluster.close)
        cluster.join()
        yield cluster
