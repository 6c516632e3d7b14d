"""A TCP proxy in front of a server, in a thread of its own, that is slow, silent or cut on command.

    with Proxy(redis.port) as proxy:                # its own port is proxy.port
        proxy.delay = 0.1                           # each reply comes so much later
        proxy.freeze() ... proxy.thaw()             # it accepts and reads, and nothing passes, either way
        proxy.hold() ... proxy.release()            # requests pass, their replies wait
        proxy.swallow = b"XADD"                     # the next request with these bytes gets no reply, but a cut
        proxy.cut()                                 # all connections end now

`requests` are the bytes that clients sent, in the pieces in which they came.
"""

import asyncio
import threading
from typing import Self


class Proxy:
    def __init__(self, target: int) -> None:
        self.target, self.port = target, 0
        self.delay = 0.0
        self.swallow: bytes | None = None
        self.swallowed = 0
        self.requests: list[bytes] = []
        #: How many connections were accepted so far.
        self.accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._links: set[asyncio.Task[None]] = set()
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._server: asyncio.Server | None = None

    def freeze(self) -> None:
        self._call(self._there.clear)
        self._call(self._back.clear)

    def thaw(self) -> None:
        self._call(self._there.set)
        self._call(self._back.set)

    def hold(self) -> None:
        self._call(self._back.clear)

    def release(self) -> None:
        self._call(self._back.set)

    def cut(self) -> None:
        self._call(self._abort)

    def __enter__(self) -> Self:
        self._thread.start()
        self.thaw()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._call(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def _call(self, act: object) -> None:
        self._loop.call_soon_threadsafe(act)  # type: ignore[arg-type]

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._abort()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, back), (there, writer))
        self._open |= {writer, back}
        tasks = {asyncio.ensure_future(link.requests()), asyncio.ensure_future(link.replies())}
        self._links |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._links -= tasks
        self._open -= {writer, back}
        writer.transport.abort()
        back.transport.abort()


class _Link:
    """One client's connection: two one-way pumps."""

    def __init__(
        self,
        proxy: Proxy,
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        back: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy, self._there, self._back = proxy, there, back
        self._swallows = False

    async def requests(self) -> None:
        reader, writer = self._there
        while data := await reader.read(1 << 16):
            await self._proxy._there.wait()
            self._proxy.requests.append(data)
            if self._proxy.swallow is not None and self._proxy.swallow in data:
                self._proxy.swallow, self._swallows = None, True
            writer.write(data)
            await writer.drain()

    async def replies(self) -> None:
        reader, writer = self._back
        while data := await reader.read(1 << 16):
            await self._proxy._back.wait()
            if self._swallows:
                # The server has done it, and the client will never know.
                self._proxy.swallowed += 1
                return
            if self._proxy.delay:
                await asyncio.sleep(self._proxy.delay)
            writer.write(data)
            await writer.drain()
