"""One slot of a Redis Cluster: which node has it now, and connections that lead there.

In: `redis+cluster://` and a key; all keys of a namespace share its slot. Out: a client like that of a single server.
When the slot has gone elsewhere, or its node has, the command fails with redis-py's `ConnectionError`, and all
connections lead to the new node from then on.

redis-py's own client of a cluster is not for us: it retries by itself, and it follows an ASK. While a slot migrates,
half of its keys are here and half are there, and a script that ran over there would open a digest anew whose first half
is still here. So nothing is followed: what is refused is done again when the slot has arrived.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio.connection import Connection, ConnectionPool
from redis.crc import key_slot
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import MovedError, RedisError

Node = tuple[str, int]
#: What `CLUSTER SLOTS` says of a range: first slot, last slot, master, replicas; a node is host, port and more.
_Range = list[Any]
#: A node answers this from memory. One that hangs must not keep us from asking the next.
_ASKING_S = 2.0


class Slot:
    """The slot of a key, and who has it; `age` grows each time it is found to have gone elsewhere."""

    def __init__(self, key: str, nodes: Sequence[Node], options: dict[str, Any]) -> None:
        self._number = key_slot(key.encode())
        self._given = tuple(nodes)
        # Those of the URL, until one of them has named all.
        self._nodes = list(nodes)
        self._options = options | {"socket_timeout": _ASKING_S, "socket_connect_timeout": _ASKING_S}
        self.age = 0

    async def owner(self) -> Node:
        """Ask one node after another who has the slot; `NotConnected` if none can say."""
        fault = "none has it"
        for node in tuple(self._nodes):
            try:
                ranges = await self._ask(node)
            except (RedisError, OSError) as error:
                fault = " ".join(str(error).split())[:200] or type(error).__name__
                continue
            known = [_node(one, node) for row in ranges for one in row[2:]]
            found = next((_node(row[2], node) for row in ranges if row[0] <= self._number <= row[1]), None)
            if found is not None:
                # Whoever has it will know best the next time.
                self._nodes = list(dict.fromkeys((found, *known, *self._given)))
                return found
        raise NotConnected(f"no node of the cluster says who has our slot ({fault})")

    def moved(self, to: Node, age: int) -> None:
        """Note that a connection of that age was sent elsewhere: its like are stale too."""
        if age == self.age:
            self.age += 1
            self._nodes.insert(0, to)

    async def _ask(self, node: Node) -> list[_Range]:
        connection = Connection(host=node[0], port=node[1], **self._options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("CLUSTER", "SLOTS")
            return cast(list[_Range], await connection.read_response())
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect()


class _ToOwner(Connection):
    """A connection to whichever node has the slot when it is opened."""

    def __init__(self, *, slot: Slot, **options: Any) -> None:
        super().__init__(**options)
        self._slot = slot
        self._age = -1

    async def connect(self) -> None:
        # Each use begins here; what leads to a former owner is given up before it is asked.
        if self.is_connected and self._age != self._slot.age:
            await self.disconnect()
        await super().connect()  # type: ignore[no-untyped-call]

    async def _connect(self) -> None:
        self._age = self._slot.age
        self.host, self.port = await self._slot.owner()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except MovedError as fault:
            self._slot.moved((fault.host, fault.port), self._age)
            # Further replies of a pipeline may be on their way.
            await self.disconnect()
            raise NotConnected("the slot of our namespace has gone to another node of the cluster") from None


def pool_to_owner(key: str, nodes: Sequence[Node], options: dict[str, Any]) -> ConnectionPool:
    """Make a pool whose connections lead to the node that has the slot of a key; nothing is connected yet."""
    return ConnectionPool(connection_class=_ToOwner, slot=Slot(key, nodes, options), **options)


def _node(told: Sequence[Any], asked: Node) -> Node:
    # A node that does not know its own name or address says nothing: it is where we found it.
    host = told[0].decode() if told[0] not in (None, b"", b"?") else asked[0]
    return host, int(told[1])
