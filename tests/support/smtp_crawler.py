"""An SMTP server that takes the message byte by byte, or not at all: for the time that each block of it has.

    async with Crawler() as server:         # its receive buffer is small, so that the client soon has to wait
        server.step.set()                   # read on (at `pace` bytes a turn), until `step.clear()`

`early` is said at the first byte of the message; `taken` counts those that were read; `reply` is said to its final dot.
"""

import asyncio
import contextlib
import socket
from typing import Self


class Crawler:
    def __init__(self, pace: int = 1, reply: bytes = b"250 2.0.0 queued\r\n", early: bytes = b"") -> None:
        self.pace, self.reply, self.early = pace, reply, early
        self.step = asyncio.Event()
        self.taken = 0
        self._listener = socket.socket()
        # Before `listen`: an accepted socket inherits it.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.setblocking(False)
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        link, _ = await loop.sock_accept(self._listener)
        with link:
            await loop.sock_sendall(link, b"220 test.invalid\r\n")
            for reply in (b"250 test.invalid", b"250 ok", b"250 ok", b"354 go"):
                heard = b""
                while not heard.endswith(b"\n"):
                    heard += await loop.sock_recv(link, 1024)
                await loop.sock_sendall(link, reply + b"\r\n")
            with contextlib.suppress(OSError):
                await self._crawl(loop, link)

    async def _crawl(self, loop: asyncio.AbstractEventLoop, link: socket.socket) -> None:
        tail = b""
        if self.early:
            self.taken += len(await loop.sock_recv(link, self.pace))
            await loop.sock_sendall(link, self.early)
            # Closed with all this unread, the kernel would answer RST, and the client's kernel forget the reply.
            await self.step.wait()
        while not tail.endswith(b"\r\n.\r\n"):
            await self.step.wait()
            got = await loop.sock_recv(link, self.pace)
            if not got:
                return
            self.taken += len(got)
            tail = (tail + got)[-5:]
            await asyncio.sleep(0.001)
        await loop.sock_sendall(link, self.reply)
