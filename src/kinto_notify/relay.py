"""The relay: moves the outbox to the stream, in a thread of each Kinto worker.

In: what the outbox says is waiting. Out: entries in the stream. Redis being away stops nothing: the outbox holds, and
the log says once that it does, once that it is over, and in between how much waits. Its faults end no request, and
not the thread either.
"""

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

from kinto_notify.errors import OutboxUnavailable, StoreUnavailable
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.pump import BATCH_ROWS, Source, Trouble, pump
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.stream import Stream
from kinto_notify.outbox.table_outbox import TableOutbox

logger = logging.getLogger(__name__)

#: Looking at the outbox this often costs a worker nothing; waking the thread from each write cost 25 % of the write.
_POLL_SECONDS = 0.05
#: A table is asked in a transaction of its own, for the driver's work in this process: for several writes at once.
_TABLE_POLL_SECONDS = 0.4
_UPKEEP_SECONDS = 1.0
#: Between two full batches of a backlog the requests have the interpreter to themselves.
_BREATHE_SECONDS = 0.01
#: At the end of the process, what waits gets this long.
_FLUSH_SECONDS = 2.0


class Relay:
    """The relay of this process; started on its first request, and again in a forked child.

    Without `stream` and `adoption` another process publishes, and the thread only keeps the outbox in order. With a
    `table`, the spool holds only what that did not take.
    """

    def __init__(
        self,
        outbox: SpoolOutbox,
        stream: Callable[[], Stream] | None,
        adoption: Adoption | None,
        counters: Counters,
        retention: int,
        table: TableOutbox | None = None,
    ) -> None:
        self._outbox = outbox
        self._table = table
        self._make_stream = stream
        self._adoption = adoption
        self._counters = counters
        self._retention = retention
        self._pid = 0
        self._locks: dict[int, threading.Lock] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def ensure_running(self) -> None:
        """Start the thread if this process has none yet; costs next to nothing where it has."""
        pid = os.getpid()
        if self._pid == pid:
            return
        # Of each process its own: a parent's may be held, by a thread that is not here.
        with self._locks.setdefault(pid, threading.Lock()):
            if self._pid == pid:
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, name="kinto-notify-relay", daemon=True)
            self._thread.start()
            self._pid = pid
            atexit.register(self.stop)

    def stop(self) -> None:
        """Publish what waits, for two seconds at most, and end the thread."""
        atexit.unregister(self.stop)
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        self._stop.set()
        # Redis may hang for longer than we may hold up the end of the process; the spool keeps what is left.
        thread.join(_FLUSH_SECONDS + 0.5)

    def _run(self) -> None:
        stop = self._stop
        stream = self._make_stream() if self._make_stream is not None else None
        trouble = Trouble(self._depth)
        next_upkeep = 0.0
        poll = _POLL_SECONDS if self._table is None else _TABLE_POLL_SECONDS
        while not stop.wait(trouble.pause() or max(poll, stream.rest if stream is not None else 0.0)):
            try:
                if time.monotonic() >= next_upkeep:
                    next_upkeep = time.monotonic() + _UPKEEP_SECONDS
                    self._upkeep(stream)
                self._outbox.retry()
                if stream is not None:
                    self._publish(stream, lambda: self._breathe(stream))
                trouble.over()
            except StoreUnavailable as error:
                trouble.met(error)
            except OutboxUnavailable as error:
                trouble.met(f"PostgreSQL: {error}")
            except OSError as error:
                trouble.met(f"spool: {error}")
            except Exception:
                # A fault of ours: the thread must not end, and must not spin.
                logger.exception("kinto-notify: the relay failed")
                trouble.met("a fault of the relay itself")
        self._flush(stream)

    def _publish(self, stream: Stream, ended: Callable[[], bool]) -> int:
        """Publish what waits; return how many entries. In a spool beside a table is what is newer than the table's."""
        fault: OutboxUnavailable | None = None
        published = 0
        try:
            while self._table is not None and (batch := self._table.turn(stream.append)):
                published += batch
                if ended():
                    break
        except OutboxUnavailable as error:
            # The spool has the events that the table did not take: they go out now.
            fault = error
        while batch := pump(self._outbox, stream):
            published += batch
            if batch < BATCH_ROWS or ended():
                break
        if fault is not None:
            raise fault
        return published

    def _pump(self, orphan: Source, stream: Stream) -> int:
        published = pump(orphan, stream)
        if published == BATCH_ROWS:
            self._breathe(stream)
        return published

    def _breathe(self, stream: Stream) -> bool:
        """Rest between two full batches, the longer the fuller Redis is; tell whether the process ends."""
        return self._stop.wait(max(_BREATHE_SECONDS, stream.rest))

    def _depth(self) -> Depth:
        depth, more = self._outbox.depth(), Depth()
        if self._table is not None:
            # Whoever asks has met the fault, or will.
            with contextlib.suppress(OutboxUnavailable):
                more = self._table.depth()
        return Depth(depth.rows + more.rows, max(depth.age, more.age))

    def _upkeep(self, stream: Stream | None) -> None:
        self._outbox.upkeep(self._retention)
        depth = self._depth()
        self._counters.observe("outbox_depth", depth.rows)
        self._counters.observe("outbox_age_seconds", depth.age)
        if stream is not None and self._adoption is not None:
            self._adoption.turn(lambda source: self._pump(source, stream))
        if stream is not None and self._table is not None:
            self._table.upkeep(self._retention)

    def _flush(self, stream: Stream | None) -> None:
        end = time.monotonic() + _FLUSH_SECONDS
        with contextlib.suppress(StoreUnavailable, OutboxUnavailable, OSError):
            self._outbox.retry()
            while stream is not None and time.monotonic() < end:
                if not self._publish(stream, lambda: time.monotonic() >= end):
                    break
        self._outbox.close()
        if self._table is not None:
            self._table.close()
        if stream is not None:
            stream.close()
