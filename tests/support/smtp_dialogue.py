"""An SMTP server that follows a dialogue to the letter: it says so much when it has heard so much, and keeps all of it.

    async with Dialogue([[(b"DATA\r\n", b"250 ok\r\n550 no\r\n354 go\r\n")], …]) as server:  # one list a connection

The greeting and the answer to EHLO come by themselves. A reply of None closes the connection; when a list is at its
end the server listens, and says nothing more. A connection beyond the last list takes every message, one at a time or
together with the announcement of the next. With `bytewise` each byte of a reply comes alone.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

Turn = tuple[bytes, bytes | None]

ACCEPTING: list[Turn] = [
    (b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n"),
    (b"\r\n.\r\n", b"250 queued\r\n"),
]


class Dialogue:
    def __init__(
        self, connections: Sequence[Sequence[Turn]] = (), offers: bytes = b"PIPELINING", *, bytewise: bool = False
    ) -> None:
        self._turns, self._offers, self._bytewise = list(connections), offers, bytewise
        #: What each connection has said after EHLO.
        self.heard: list[bytearray] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        heard = bytearray()
        turns = self._turns[len(self.heard)] if len(self.heard) < len(self._turns) else ACCEPTING * 100
        try:
            writer.write(b"220 test.invalid\r\n")
            await reader.readline()
            self.heard.append(heard)
            writer.write(b"250-test.invalid\r\n250 " + self._offers + b"\r\n")
            for until, reply in turns:
                await self._hear(reader, heard, until)
                if reply is None:
                    return
                # In segments that part a line.
                for piece in [bytes([byte]) for byte in reply] if self._bytewise else [reply[:5], reply[5:]]:
                    writer.write(piece)
                    await asyncio.sleep(0)
            while said := await reader.read(65536):
                heard += said
        except (OSError, EOFError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader, heard: bytearray, until: bytes) -> None:
        """Read on to what ends with `until`; what comes together is heard together."""
        start = len(heard)
        while not heard[start:].endswith(until):
            said = await reader.read(65536)
            if not said:
                raise EOFError
            heard += said
