"""The message on its way: block by block to the relay that waits for it, then its reply.

In: what stands on the wire between the 354 and the reply. Out: the reply, which may come before the last block. Fails
with `OSError` (a timeout is one) or `SMTPException`; `at` has been told whether the final dot had left us by then, as
far as the kernel says.
"""

import asyncio
from collections.abc import Callable

from aiosmtplib import SMTPResponse

from kinto_notify.smtp.line import Line
from kinto_notify.smtp.outcome import Phase
from kinto_notify.smtp.timeouts import Timeouts

#: What `Timeouts.block` is the time for; most messages are one block.
BLOCK = 65_536


async def hand_over(
    line: Line, data: bytes, timeouts: Timeouts, at: Callable[[Phase], None], stalled: Callable[[], None] | None = None
) -> SMTPResponse:
    """Send a message of any length with its dot, and what `data` has behind that; return the reply to the dot.

    A relay that takes no block in time (it stopped reading, or crawls) is given up in phase BODY: it has not seen the
    dot, so nothing is ambiguous. `stalled` is called where it takes longer than a healthy relay would.
    """
    at(Phase.BODY)
    line.write(data[:BLOCK])
    if len(data) <= BLOCK and line.drained:
        at(Phase.DOT)
        return await _answer(line, timeouts, stalled)
    if stalled is not None:
        stalled()
    # A reply may come before the end (too big, say), and nobody but a waiting reader hears it.
    reading = asyncio.ensure_future(line.next(None))
    pushing = asyncio.ensure_future(_push(line, data, timeouts.block))
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


async def _answer(line: Line, timeouts: Timeouts, stalled: Callable[[], None] | None) -> SMTPResponse:
    if stalled is None or timeouts.stall >= timeouts.dot:
        return await line.next(timeouts.dot)
    try:
        return await line.next(timeouts.stall)
    except TimeoutError:
        stalled()
    return await line.next(timeouts.dot - timeouts.stall)


async def _push(line: Line, data: bytes, patience: float) -> None:
    """Send all but the first block, which is on its way; `patience` is the time for each."""
    for start in range(BLOCK, len(data) + BLOCK, BLOCK):
        async with asyncio.timeout(patience):
            await line.drain()
        if start < len(data):
            line.write(data[start : start + BLOCK])
