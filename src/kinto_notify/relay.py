"""The relay: moves the outbox to the stream, in a thread of each Kinto worker.

In: what the outbox says is waiting. Out: entries in the stream, marked as published after it has them; a crash in
between publishes them again under the same ids. Redis being away stops nothing: the outbox holds, and the log says
once that it does, once that it is over, and in between how much waits.
"""

import atexit
import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from kinto_notify.errors import StoreUnavailable
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.spool import Waiting
from kinto_notify.outbox.spool_outbox import FAULTS, SpoolOutbox
from kinto_notify.outbox.stream import Stream

logger = logging.getLogger(__name__)

#: Rows and bytes of one pipeline.
BATCH_ROWS = 200
BATCH_BYTES = 4 * 1024 * 1024
#: Looking at the outbox this often costs a worker nothing; waking the thread from each write cost 25 % of the write.
_POLL_SECONDS = 0.05
_UPKEEP_SECONDS = 1.0
_BACKOFF_FIRST = 0.2
_BACKOFF_LAST = 15.0
_TELL_AGAIN_SECONDS = 60.0
#: At the end of the process, what waits gets this long.
_FLUSH_SECONDS = 2.0


class Source(Protocol):
    """Where committed entries wait."""

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest of them."""

    def published(self, waiting: list[Waiting]) -> None:
        """Mark them as published."""


def pump(source: Source, stream: Stream) -> int:
    """Publish one batch; return how many entries it had. `StoreUnavailable` if Redis does not take it."""
    batch = source.waiting(BATCH_ROWS, BATCH_BYTES)
    if batch:
        stream.append([row.entry for row in batch])
        source.published(batch)
    return len(batch)


class Relay:
    """The relay of this process; started on the first request, and again in a forked child."""

    def __init__(
        self, outbox: SpoolOutbox, stream: Callable[[], Stream], adoption: Adoption | None,
        counters: Counters, retention: int,
    ) -> None:  # fmt: skip
        self._outbox = outbox
        self._make_stream = stream
        self._adoption = adoption
        self._counters = counters
        self._retention = retention
        self._pid = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def ensure_running(self) -> None:
        """Start the thread if this process has none yet; costs next to nothing where it has."""
        if self._pid == os.getpid():
            return
        if self._pid:
            # Forked: the parent's lock may have been held by a thread that is not here.
            self._lock = threading.Lock()
        with self._lock:
            if self._pid == os.getpid():
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, name="kinto-notify-relay", daemon=True)
            self._thread.start()
            self._pid = os.getpid()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Publish what waits, for two seconds at most, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        self._stop.set()
        thread.join(_FLUSH_SECONDS + 0.5)

    def _run(self) -> None:
        stream = self._make_stream()
        trouble = Trouble(self._outbox, self._counters)
        next_upkeep = 0.0
        while not self._stop.wait(trouble.pause() or _POLL_SECONDS):
            try:
                if time.monotonic() >= next_upkeep:
                    next_upkeep = time.monotonic() + _UPKEEP_SECONDS
                    self._upkeep(stream, trouble)
                self._outbox.retry()
                while pump(self._outbox, stream) == BATCH_ROWS and not self._stop.is_set():
                    pass
                trouble.over()
            except StoreUnavailable as error:
                trouble.met(str(error))
            except FAULTS as error:
                trouble.met(f"spool: {error}")
            except Exception:
                # A fault of ours: the thread must not end, and must not spin.
                logger.exception("kinto-notify: the relay failed")
                trouble.met("a fault of the relay itself")
        self._flush(stream)

    def _upkeep(self, stream: Stream, trouble: "Trouble") -> None:
        self._outbox.upkeep(self._retention)
        if self._adoption is not None:
            self._adoption.turn(lambda source: pump(source, stream))
        trouble.tell()

    def _flush(self, stream: Stream) -> None:
        end = time.monotonic() + _FLUSH_SECONDS
        with contextlib.suppress(StoreUnavailable, *FAULTS):
            self._outbox.retry()
            while time.monotonic() < end and pump(self._outbox, stream):
                pass
        self._outbox.close()
        stream.close()


class Trouble:
    """What the log says while the outbox can't be emptied, and how long to wait before the next attempt."""

    def __init__(self, outbox: SpoolOutbox, counters: Counters) -> None:
        self._outbox = outbox
        self._counters = counters
        self._attempts = 0
        self._since = 0.0
        self._told = 0.0

    def pause(self) -> float:
        """Return the seconds until the next attempt; 0 when all is well."""
        if not self._attempts:
            return 0.0
        full = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2.0 ** min(self._attempts - 1, 10))
        # Half of it is random, so that many workers do not come back at once.
        return full * (0.5 + random.random() / 2)  # noqa: S311 - not a secret

    def met(self, why: str) -> None:
        """Note a failed attempt."""
        self._attempts += 1
        if self._attempts == 1:
            self._since = self._told = time.monotonic()
            logger.error("kinto-notify: the stream takes nothing (%s); the outbox holds what is written", why)

    def over(self) -> None:
        """Note that it works."""
        if self._attempts:
            logger.warning("kinto-notify: the stream takes entries again after %.0f s", time.monotonic() - self._since)
            self._attempts = 0

    def tell(self) -> None:
        """Put the outbox's depth and age in the metrics, and in the log while it can't be emptied."""
        depth = self._outbox.depth()
        self._counters.observe("outbox_depth", depth.rows)
        self._counters.observe("outbox_age_seconds", depth.age)
        if self._attempts and time.monotonic() - self._told >= _TELL_AGAIN_SECONDS:
            self._told = time.monotonic()
            logger.error("kinto-notify: %d event(s) wait in the outbox, the oldest for %.0f s", depth.rows, depth.age)
