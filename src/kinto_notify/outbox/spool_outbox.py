"""The outbox of Kintos without PostgreSQL: this process's spool, and memory for when the disk lets us down.

In: the three steps of a transaction, from request threads. Out: to the relay, committed entries in order. Nothing
here raises towards a request: a fault is logged, counted, and the entries are held in memory for the relay to retry.
"""

import contextlib
import ctypes
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import Claim, SpoolDirectory
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Depth, Spool, Ticket, Waiting

logger = logging.getLogger(__name__)

#: What memory holds while the disk takes nothing: beyond this, events are lost, and each loss is told.
MAX_HELD_BYTES = 64 * 1024 * 1024
#: A spool that could not be opened is tried again after this many seconds, not by every request.
_REOPEN_SECONDS = 1.0
_PURGE_STEPS = 25
_TELL_SECONDS = 5.0
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: The file was moved or deleted under us; what it holds can still be read.
_MOVED = sqlite3.SQLITE_READONLY_DBMOVED
FAULTS = (sqlite3.Error, OSError)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction left with us; without a spool, its entries are in memory only."""

    entries: tuple[Entry, ...]
    spool: Spool | None = None
    ticket: Ticket | None = None
    final: bool = False


class _Process:
    """What belongs to one process and must not cross a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.spool: Spool | None = None
        self.claim: Claim | None = None
        self.closed_until = 0.0
        self.held: deque[Entry] = deque()
        self.held_bytes = 0
        self.unsettled: deque[tuple[Receipt, bool]] = deque()


class SpoolOutbox:
    """The outbox over a spool directory; one object serves all processes forked from the one that made it."""

    def __init__(self, directory: SpoolDirectory, counters: Counters, *, durable: bool = False) -> None:
        self.directory = directory
        self._counters = counters
        self._durable = durable
        self._processes: dict[int, _Process] = {}
        self._tell_after = 0.0

    # --- the transaction's side --------------------------------------------------------------------------------

    def prepare(self, entries: Sequence[Entry], probe: str, *, final: bool = False) -> Receipt:
        """Write entries down; in memory only, where the disk fails."""
        kept = tuple(entries)
        here = self._here()
        for _ in range(2):  # a second time with a new file, where the first was unreadable
            spool = None
            try:
                spool = self._spool(here)
                return Receipt(kept, spool, spool.prepare(kept, probe, final=final), final)
            except FAULTS as error:
                self._failed("keep an event", error)
                if spool is None or not self._replaced(here, spool, error):
                    break
        return Receipt(kept)

    def commit(self, receipt: Receipt) -> None:
        """Let the entries go out."""
        here = self._here()
        if receipt.spool is None or receipt.ticket is None:
            self._hold(here, receipt.entries)
            return
        if receipt.final:
            return
        try:
            receipt.spool.commit(receipt.ticket)
        except FAULTS as error:
            self._failed("note a commit", error)
            if self._replaced(here, receipt.spool, error):
                self._hold(here, receipt.entries)
            else:
                here.unsettled.append((receipt, True))

    def abort(self, receipt: Receipt) -> None:
        """Forget the entries."""
        if receipt.spool is None or receipt.ticket is None:
            return
        here = self._here()
        try:
            receipt.spool.abort(receipt.ticket)
        except FAULTS as error:
            self._failed("note a rollback", error)
            if not self._replaced(here, receipt.spool, error):
                here.unsettled.append((receipt, False))

    # --- the relay's side --------------------------------------------------------------------------------------

    def retry(self) -> None:
        """Write again what could not be written before."""
        here = self._here()
        for _ in range(len(here.unsettled)):
            receipt, committed = here.unsettled.popleft()
            (self.commit if committed else self.abort)(receipt)
        if here.spool is not None and not here.spool.path.exists():
            self._replace(here, here.spool, "is gone")
        while here.held:
            try:
                spool = self._spool(here)
                spool.prepare((here.held[0],), final=True)
            except FAULTS:
                return
            self._release(here)

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest committed entries; where the disk fails, those in memory, with negative numbers."""
        here = self._here()
        found: list[Waiting] = []
        spool = here.spool
        if spool is not None and spool.news:
            spool.news = False
            try:
                found = spool.waiting(rows, size)
            except FAULTS as error:
                spool.news = True
                self._failed("read the spool", error)
                self._replaced(here, spool, error)
            spool.news = spool.news or bool(found)
        if not found and here.held:
            found = [Waiting(-1 - at, entry) for at, entry in enumerate(list(here.held)[:rows])]
        return found

    def published(self, waiting: Sequence[Waiting]) -> None:
        """Mark what `waiting` returned as published."""
        here = self._here()
        for _ in [row for row in waiting if row.source is None]:
            self._release(here)
        # A request may have put a new file in the old one's place meanwhile: the numbers are not its rows'.
        seqs = [row.seq for row in waiting if row.source is not None and row.source is here.spool]
        if seqs and here.spool is not None:
            here.spool.published(seqs)

    def depth(self) -> Depth:
        """Count what waits here, in the spool and in memory."""
        here = self._here()
        depth = here.spool.depth() if here.spool is not None else Depth()
        return Depth(depth.rows + len(here.held), depth.age)

    def upkeep(self, retention: int) -> None:
        """Do what no request should wait for: checkpoint, and drop what is kept no longer."""
        here = self._here()
        spool = here.spool
        try:
            if spool is not None:
                spool.checkpoint()
                spool.news = True
                # In steps, so that a writer gets the lock in between.
                for _ in range(_PURGE_STEPS):
                    if not spool.purge(retention):
                        break
            self.directory.purge(retention)
        except FAULTS as error:
            # Nothing is lost by it now. A file that can't be read is found here first: writers work from the cache.
            if spool is not None:
                self._replaced(here, spool, error)

    def close(self) -> None:
        """At the end of the process: leave no file behind that holds nothing."""
        here = self._here()
        with here.lock, contextlib.suppress(*FAULTS):
            spool, claim = here.spool, here.claim
            if spool is None or claim is None:
                return
            here.spool = here.claim = None
            here.closed_until = float("inf")
            empty, settled = spool.empty(), spool.settled()
            spool.close()
            if empty:
                self.directory.remove(claim)
            elif settled:
                self.directory.retire(claim)
            else:
                claim.release()

    # --- inside ------------------------------------------------------------------------------------------------

    def _here(self) -> _Process:
        pid = os.getpid()
        here = self._processes.get(pid)
        if here is None:
            for parent in self._processes.values():
                _disown(parent)
            here = self._processes.setdefault(pid, _Process())
        return here

    def _spool(self, here: _Process) -> Spool:
        if here.spool is not None:
            return here.spool
        with here.lock:
            if here.spool is None:
                if time.monotonic() < here.closed_until:
                    raise OSError("the spool could not be opened a moment ago")
                here.closed_until = time.monotonic() + _REOPEN_SECONDS
                claim = self.directory.new()
                try:
                    here.spool = Spool(claim.path, durable=self._durable)
                except BaseException:
                    self.directory.forget(claim)
                    raise
                here.claim = claim
                here.closed_until = 0.0
            return here.spool

    def _replaced(self, here: _Process, spool: Spool, error: BaseException) -> bool:
        """Put a new file in the place of an unreadable one; tell whether `spool` is no longer in use."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (code & 0xFF in _CORRUPT or code == _MOVED):
            self._replace(here, spool, "is unreadable" if code != _MOVED else "was moved")
        return here.spool is not spool

    def _replace(self, here: _Process, spool: Spool, why: str) -> None:
        with here.lock:
            if here.spool is not spool or here.claim is None:
                return
            here.spool, claim, here.claim = None, here.claim, None
        rescued: list[Entry] = []
        with contextlib.suppress(*FAULTS):
            rescued = [row.entry for row in spool.waiting(1 << 31, MAX_HELD_BYTES)]
        with contextlib.suppress(*FAULTS):
            spool.close()
        aside = claim.path
        with contextlib.suppress(OSError):
            aside = self.directory.quarantine(claim)
        self._counters.count("spool_replaced")
        logger.critical(
            "kinto-notify: spool %s %s; set aside as %s, %d waiting event(s) rescued, a new one is used",
            claim.path, why, aside.name, len(rescued),
        )  # fmt: skip
        self._hold(here, rescued)

    def _hold(self, here: _Process, entries: Sequence[Entry]) -> None:
        for entry in entries:
            with here.lock:
                fits = here.held_bytes + len(entry.body) <= MAX_HELD_BYTES
                if fits:
                    here.held.append(entry)
                    here.held_bytes += len(entry.body)
            if not fits:
                self._counters.count("events_lost")
                logger.critical("kinto-notify: event %s is lost: neither disk nor memory has room", entry.id)

    def _release(self, here: _Process) -> None:
        with here.lock:
            here.held_bytes -= len(here.held.popleft().body)

    def _failed(self, what: str, error: BaseException) -> None:
        self._counters.count("spool_faults")
        # The counter has them all; a full disk must not fill the log as well.
        if time.monotonic() < self._tell_after:
            return
        self._tell_after = time.monotonic() + _TELL_SECONDS
        logger.critical("kinto-notify could not %s on disk, it is held in memory: %s", what, error)


def _disown(parent: _Process) -> None:
    """In a forked child: keep the parent's connection from ever being closed here, and close our copy of its lock."""
    spool, claim = parent.spool, parent.claim
    parent.spool = parent.claim = None
    if spool is not None:
        # SQLite: a connection must not be used, nor closed, across a fork. One reference too many keeps it alive.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(spool))
    if claim is not None:
        claim.release()
