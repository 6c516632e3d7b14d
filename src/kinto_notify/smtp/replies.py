"""What the relay says, reply by reply, however many come in one segment.

In: a transport whose next bytes are replies. Out: the replies, in the order of the commands. Fails with `OSError` (a
timeout is one) or `SMTPException`. aiosmtplib reads one reply for one command, and throws away what follows it.
"""

import asyncio

from aiosmtplib import SMTPResponse, SMTPResponseException

from kinto_notify.smtp.outcome import GARBAGE
from kinto_notify.smtp.passing import Passing

#: What is kept of a relay that talks without an end, in bytes; a long answer to EHLO is a tenth of it.
MOST = 32_768


def take(buffer: bytearray) -> SMTPResponse | None:
    """Take the first reply out of the buffer; None while it is not whole. Raises `SMTPResponseException` for another.

    The lines of a text are joined with line feeds, as aiosmtplib does.
    """
    texts: list[bytes] = []
    start = 0
    while (end := buffer.find(b"\n", start)) >= 0:
        line = bytes(buffer[start:end])
        start = end + 1
        code = line[:3]
        if len(code) < 3 or not code.isdigit():
            raise SMTPResponseException(GARBAGE, f"Malformed SMTP response line: {line.decode('utf-8', 'ignore')}")
        texts.append(line[4:].strip())
        if line[3:4] != b"-":
            del buffer[:start]
            return SMTPResponse(int(code), b"\n".join(texts).decode("utf-8", "surrogateescape"))
    return None


class Replies(Passing):
    """Hears the relay in aiosmtplib's place while its context lasts.

    A relay that has said more than was taken by the end of it is out of step with us: its connection is cut there,
    so that no reply is ever taken for the answer to a later command.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        super().__init__(transport)
        self._heard = bytearray()
        self._more = asyncio.Event()
        self._ended = False
        self._cause: Exception | None = None

    def close(self) -> None:
        if self._heard:
            self._transport.abort()
        super().close()

    async def next(self, patience: float | None) -> SMTPResponse:
        """Return the next reply, waiting so many seconds at most for all of it."""
        # In a pipeline most replies are there already: no timer for them.
        reply = take(self._heard)
        if reply is None:
            async with asyncio.timeout(patience):
                while reply is None:
                    await self._wait_for_more()
                    reply = take(self._heard)
        return reply

    async def _wait_for_more(self) -> None:
        if len(self._heard) > MOST:
            raise SMTPResponseException(GARBAGE, "Response too long")
        if self._ended:
            raise ConnectionError("the connection was closed") from self._cause
        self._more.clear()
        await self._more.wait()

    def data_received(self, data: bytes) -> None:
        if len(self._heard) <= MOST:
            self._heard += data
        self._more.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._cause = True, exc
        self._more.set()
        super().connection_lost(exc)
