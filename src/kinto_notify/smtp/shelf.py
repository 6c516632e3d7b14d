"""The idle sessions of the pool, the one used last on top.

In: sessions with nothing in hand. Out: one that is fit for the next message. Cannot fail: what has died meanwhile, or
is past its use, is closed on the way. Each session that goes for good is told to `gone`.
"""

import asyncio
import time
from collections.abc import Callable

from kinto_notify.smarthost import Relay
from kinto_notify.smtp.session import Session


class Shelf:
    """Sessions at rest; after `rest` seconds they are given back to their relay."""

    def __init__(self, rest: float, gone: Callable[[Session], None]) -> None:
        self._rest = rest
        self._gone = gone
        self._idle: list[Session] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    def put(self, session: Session) -> None:
        """Keep a session for the next message."""
        session.idle_since = time.monotonic()
        self._idle.append(session)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._rest, self._reap)

    async def take(self) -> Session | None:
        """Return the fit session that was used last, or None."""
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
            await self._farewell(session)
        return None

    def drop(self, relay: Relay) -> None:
        """Close the sessions of a relay that has just failed; it might never answer a good-bye."""
        for session in [session for session in self._idle if session.relay == relay]:
            self._idle.remove(session)
            session.abort()
            self._gone(session)

    async def close(self) -> None:
        """Close them all, with QUIT."""
        if self._timer is not None:
            self._timer.cancel()
        for session in list(self._idle):
            self._let_go(session)
        await asyncio.gather(*self._leaving)

    def _reap(self) -> None:
        """Give back what nobody has used for a while."""
        self._timer = None
        now = time.monotonic()
        for session in [session for session in self._idle if now - session.idle_since >= self._rest]:
            self._let_go(session)
        if self._idle:
            rest = min(session.idle_since for session in self._idle) + self._rest - now
            self._timer = asyncio.get_running_loop().call_later(rest, self._reap)

    def _let_go(self, session: Session) -> None:
        """Say good-bye aside; the session counts until that is done."""
        self._idle.remove(session)
        task = asyncio.create_task(self._farewell(session))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _farewell(self, session: Session) -> None:
        try:
            # With the answer awaited: a relay that counts connections should have this one off its list.
            await session.quit()
        finally:
            self._gone(session)
