"""The message on its way: block by block to the relay that waits for it, then its reply.

In: what stands on the wire between the 354 and the reply. Out: the reply, which may come before the last block. Fails
with `OSError` (a timeout is one) or `SMTPException`; `at` has been told whether the final dot had left us by then, as
far as the kernel says.
"""

import asyncio
from collections.abc import Callable

from aiosmtplib import SMTPResponse
from aiosmtplib.protocol import SMTPProtocol

from kinto_notify.smtp.outcome import Phase
from kinto_notify.smtp.replies import Replies
from kinto_notify.smtp.timeouts import Timeouts

#: What `Timeouts.block` is the time for; most messages are one block.
BLOCK = 65_536


async def hand_over(
    protocol: SMTPProtocol, data: bytes, timeouts: Timeouts, at: Callable[[Phase], None]
) -> SMTPResponse:
    """Send the message with its dot and return the reply.

    A relay that takes no block in time (it stopped reading, or crawls) is given up in phase BODY: it has not seen the
    dot, so nothing is ambiguous.
    """
    at(Phase.BODY)
    if protocol.transport is None:
        raise ConnectionError("the connection was closed")
    with _Flow(protocol.transport) as flow:
        flow.write(data[:BLOCK])
        if len(data) <= BLOCK and flow.drained:
            at(Phase.DOT)
            return await flow.next(timeouts.dot)
        # A reply may come before the end (too big, say), and nobody but a waiting reader hears it.
        reading = asyncio.ensure_future(flow.next(None))
        pushing = asyncio.ensure_future(_push(flow, data, timeouts.block))
        try:
            await asyncio.wait({reading, pushing}, return_when=asyncio.FIRST_COMPLETED)
            if pushing.done():
                pushing.result()
                at(Phase.DOT)
                await asyncio.wait({reading}, timeout=timeouts.dot)
            if not reading.done():
                raise TimeoutError
            return reading.result()
        finally:
            for task in (reading, pushing):
                task.cancel()
            await asyncio.gather(reading, pushing, return_exceptions=True)


async def _push(flow: "_Flow", data: bytes, patience: float) -> None:
    """Send all but the first block, which is on its way; `patience` is the time for each."""
    for start in range(BLOCK, len(data) + BLOCK, BLOCK):
        async with asyncio.timeout(patience):
            await flow.drain()
        if start < len(data):
            flow.write(data[start : start + BLOCK])


class _Flow(Replies):
    """Knows when the kernel has all that was written."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        super().__init__(transport)
        self._flowing = asyncio.Event()
        self._flowing.set()
        # Paused with more than a byte left, resumed with none. Not 0: asyncio's TLS would pause with nothing to write.
        self._transport.set_write_buffer_limits(high=1, low=0)

    @property
    def drained(self) -> bool:
        return self._flowing.is_set()

    def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionError("the connection was closed")
        self._transport.write(data)

    async def drain(self) -> None:
        await self._flowing.wait()
        if self._transport.is_closing():
            raise ConnectionError("the connection was closed")

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._flowing.set()
        super().connection_lost(exc)
