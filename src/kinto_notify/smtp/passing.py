"""A protocol that stands before another one for a while, and passes on all that the transport tells it.

In: a transport with a protocol. Out: the same, with `Passing` between the two while the context lasts. Cannot fail.
aiosmtplib's protocol is left as it is; what we need to see or hear beside it, a subclass sees.
"""

import asyncio
from types import TracebackType
from typing import Self, cast


class Passing(asyncio.Protocol):
    """Enter it to stand before the transport's protocol, leave it to stand aside again."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inner = cast(asyncio.Protocol, self._transport.get_protocol())

    def __enter__(self) -> Self:
        self._transport.set_protocol(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stand aside."""
        # Where TLS has put itself in our place it stays.
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._inner)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
