"""One step of the relay: a batch of waiting entries into the stream, then marked; and what to do when it fails.

In: a source of committed entries and the stream. Out: how many went. A crash between the two steps publishes the
batch again under the same event ids. Raises `StoreUnavailable` when Redis takes nothing.
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from kinto_notify.errors import StreamHeld
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.spool_reader import Waiting
from kinto_notify.outbox.stream import Stream

logger = logging.getLogger(__name__)

#: Rows and bytes of one pipeline. Encoding a batch is Python: a request thread may wait as long as that takes.
BATCH_ROWS = 100
BATCH_BYTES = 1024 * 1024
_BACKOFF_FIRST = 0.2
_BACKOFF_LAST = 15.0
#: Whether there is room again is cheap to ask, and what waits for it should not wait longer than that.
_HELD_SECONDS = 1.0
_TELL_AGAIN_SECONDS = 60.0


class Source(Protocol):
    """Where committed entries wait."""

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest of them."""

    def published(self, waiting: Sequence[Waiting]) -> None:
        """Mark them as published."""


def pump(source: Source, stream: Stream) -> int:
    """Publish one batch; return how many entries it had."""
    batch = source.waiting(BATCH_ROWS, BATCH_BYTES)
    if batch:
        stream.append([row.entry for row in batch])
        source.published(batch)
    return len(batch)


class Trouble:
    """What the log says while the outbox can't be emptied, and how long to wait before the next attempt."""

    def __init__(self, depth: Callable[[], Depth]) -> None:
        self._depth = depth
        self._attempts = 0
        self._since = 0.0
        self._told = 0.0
        self._longest = _BACKOFF_LAST

    def pause(self) -> float:
        """Return the seconds until the next attempt; 0 when all is well."""
        if not self._attempts:
            return 0.0
        full = min(self._longest, _BACKOFF_FIRST * 2.0 ** min(self._attempts - 1, 10))
        # Half of it is random, so that many workers do not come back at once.
        # Not of `random`, which workers that uWSGI forks have in common: they would all come back at once.
        return full * (0.5 + random.SystemRandom().random() / 2)

    def met(self, fault: Exception | str) -> None:
        """Note a failed attempt, and why."""
        why = str(fault)
        self._longest = _HELD_SECONDS if isinstance(fault, StreamHeld) else _BACKOFF_LAST
        self._attempts += 1
        if self._attempts == 1:
            self._since = self._told = time.monotonic()
            logger.error("kinto-notify: the stream takes nothing (%s); the outbox holds what is written", why)
        elif time.monotonic() - self._told >= _TELL_AGAIN_SECONDS:
            self._told = time.monotonic()
            depth = Depth()
            # What the outbox holds may be what can't be read: that must not end the relay.
            with contextlib.suppress(Exception):
                depth = self._depth()
            told = (depth.rows, depth.age, why)
            logger.error("kinto-notify: %d event(s) wait in the outbox, the oldest for %.0f s (%s)", *told)

    def over(self) -> None:
        """Note that it works."""
        if self._attempts:
            took = time.monotonic() - self._since
            logger.warning("kinto-notify: the stream takes entries again after %.0f s", took)
            self._attempts = 0
