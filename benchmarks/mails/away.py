"""A mail server in the next town: a proxy, in a process of its own, that holds each reply for 20 ms.

    python benchmarks/mails/away.py PORT TARGET SECONDS

In: connections to PORT. Out: the same bytes to TARGET at once, and its replies so many seconds later, in their order.
One timer serves all connections, so that it takes a few microseconds a reply.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from kinto_notify.demo.servers import Server
from mails.sink import Sink

AWAY_S = 0.020


class Later:
    """Writes each piece when its time has come."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.WriteTransport, bytes]] = deque()

    def write(self, to: asyncio.WriteTransport, data: bytes) -> None:
        self._waiting.append((self._loop.time() + self._seconds, to, data))
        if len(self._waiting) == 1:
            self._loop.call_at(self._waiting[0][0], self._deliver)

    def _deliver(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, to, data = self._waiting.popleft()
            if not to.is_closing():
                to.write(data)
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._deliver)


class Half(asyncio.Protocol):
    """One side of a connection; `later` where what it hears is a reply."""

    def __init__(self, target: int, later: Later, client: "Half | None" = None) -> None:
        self._target, self._later, self._other = target, later, client
        self._replies = client is not None
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self.transport = cast(asyncio.Transport, transport)
        if self._other is not None:
            self._other.meet(self)
            return
        loop = asyncio.get_running_loop()
        other = Half(self._target, self._later, self)
        self._opening = loop.create_task(loop.create_connection(lambda: other, "127.0.0.1", self._target))

    def meet(self, server: "Half") -> None:
        self._other = server
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._other is None or self._other.transport is None:
            self._early.append(data)
        elif self._replies:
            self._later.write(self._other.transport, data)
        else:
            self._other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()


class Away(Server):
    """That proxy, in front of a sink."""

    name = "away"

    def __init__(self, directory: Path, sink: Sink) -> None:
        super().__init__(directory)
        self._sink = sink

    def command(self) -> Sequence[str]:
        return [sys.executable, __file__, str(self.port), str(self._sink.port), str(AWAY_S)]

    def ready(self) -> bool:
        return "ready" in self.log.read_text()


async def serve(port: int, target: int, seconds: float) -> None:
    later = Later(seconds)
    server = await asyncio.get_running_loop().create_server(lambda: Half(target, later), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
