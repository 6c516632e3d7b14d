"""The connection of a session, once aiosmtplib has opened it: what is written, what is heard, and the time for it.

In: a transport that takes mail. Out: the relay's replies one by one, however they come; what came too early is kept
for whoever asks next. Fails with `OSError` (a timeout is one) or `SMTPException`.
"""

import asyncio

from aiosmtplib import SMTPResponse, SMTPResponseException

from kinto_notify.smtp.outcome import GARBAGE
from kinto_notify.smtp.passing import Passing
from kinto_notify.smtp.replies import MOST, take


class Line(Passing):
    """Stands in aiosmtplib's place from its making to `close`; one reader and one writer at a time.

    It has one timer for all its replies: a mail waits for three or four, and a timer of its own for each would cost
    more than reading them.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        super().__init__(transport)
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._more: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._ended = False
        self._cause: Exception | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        # Paused with more than a byte left, resumed with none. Not 0: asyncio's TLS would pause with nothing to write.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self.__enter__()

    @property
    def standing(self) -> bool:
        """Whether the connection stands, as far as the kernel has told us."""
        return not self._ended and not self._transport.is_closing()

    @property
    def silent(self) -> bool:
        """Whether nothing was said that nobody asked for: then a later reply would be taken for another's."""
        return not self._heard

    @property
    def drained(self) -> bool:
        """Whether the kernel has all that was written."""
        return self._flowing.is_set()

    def write(self, data: bytes) -> None:
        if not self.standing:
            raise ConnectionError("the connection was closed") from self._cause
        self._transport.write(data)

    async def drain(self) -> None:
        """Return when the kernel has all that was written."""
        await self._flowing.wait()
        if not self.standing:
            raise ConnectionError("the connection was closed") from self._cause

    def heard(self) -> SMTPResponse | None:
        """Return the next reply if it is here already, as most are in a pipeline."""
        return take(self._heard)

    async def next(self, patience: float | None) -> SMTPResponse:
        """Return the next reply, waiting so many seconds at most for all of it."""
        reply = take(self._heard)
        if reply is None:
            if patience is not None:
                self._ring_at(self._loop.time() + patience)
            try:
                while reply is None:
                    await self._wait_for_more()
                    reply = take(self._heard)
            finally:
                self._deadline = None
        return reply

    async def _wait_for_more(self) -> None:
        if len(self._heard) > MOST:
            raise SMTPResponseException(GARBAGE, "Response too long")
        if self._ended:
            raise ConnectionError("the connection was closed") from self._cause
        self._more = self._loop.create_future()
        try:
            await self._more
        finally:
            self._more = None

    def close(self) -> None:
        """Cut the connection; whoever waits for a reply hears of it."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._ended = True
        self._flowing.set()
        self._wake()
        self._transport.abort()

    # --- the timer

    def _ring_at(self, deadline: float) -> None:
        """Let the timer ring then or sooner; it looks by itself whether there still is something to wait for."""
        self._deadline = deadline
        if self._alarm is not None:
            if self._alarm_at <= deadline:
                return
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._loop.call_at(deadline, self._ring), deadline

    def _ring(self) -> None:
        self._alarm = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._ring_at(self._deadline)
        elif self._more is not None and not self._more.done():
            self._more.set_exception(TimeoutError())

    # --- what the transport tells

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def data_received(self, data: bytes) -> None:
        if len(self._heard) <= MOST:
            self._heard += data
        self._wake()

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._cause = True, exc
        self._flowing.set()
        self._wake()
        super().connection_lost(exc)
