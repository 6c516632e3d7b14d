"""The spool of one process: entries on local disk between Kinto's transaction and the Redis stream.

In: entries, and what became of their transaction, from request threads. Out: a file that only grows, one `write` for
each step: that survives the death of the process, and costs a request a fifth of what a database does. Nobody else
writes to it, so no writer ever waits for a reader. Raises `OSError`; the caller decides what that means.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from kinto_notify.outbox import frame
from kinto_notify.outbox.directory import Claim
from kinto_notify.outbox.split import Entry


class Ticket(NamedTuple):
    """The rows of one transaction: those with `first <= seq <= last`."""

    first: int
    last: int


def now_ms() -> int:
    """Return this host's time; rows of one spool are compared with it, nothing that two hosts share."""
    return time.time_ns() // 1_000_000


class SpoolFull(OSError):
    """A file that takes no more rows: another has been begun, or is to be."""


class Spool:
    """The writer of one new spool file. It must not cross a fork."""

    def __init__(self, claim: Claim, *, durable: bool = False) -> None:
        self.claim = claim
        self.made = time.monotonic()
        #: The number of the last row, and how long the file is.
        self.last = 0
        self.end = 0
        self._durable = durable
        self._lock = threading.Lock()
        self._undecided = 0
        #: Whether it takes no more rows.
        self.full = False
        #: Whether it takes nothing any more.
        self.closed = False

    def prepare(self, entries: Sequence[Entry], probe: str = "", *, final: bool = False) -> Ticket:
        """Write entries whose transaction is about to commit; `probe` tells how to ask storage if we die now.

        `final`: nothing can stop the commit any more, they may go out at once. All of them are written, or none.
        """
        at = now_ms()
        kind = frame.FINAL if final else frame.PREPARED
        with self._lock:
            if self.full:
                raise SpoolFull
            first = self.last + 1
            if len(entries) == 1:
                self._append(frame.row(kind, first, at, entries[0], probe))
            else:
                numbered = enumerate(entries, first)
                self._append(b"".join([frame.row(kind, seq, at, entry, probe) for seq, entry in numbered]))
            self.last += len(entries)
            self._undecided += not final
            ticket = Ticket(first, self.last)
        if self._durable:
            try:
                self._sync()
            except OSError:
                # The caller keeps the entries in memory then. Final ones can't be taken back: as safe as can be.
                if not final:
                    self._decide(frame.ABORTED, ticket)
                    raise
        return ticket

    def commit(self, ticket: Ticket) -> None:
        """Say that the transaction of a ticket has committed; not of final rows."""
        self._decide(frame.COMMITTED, ticket)

    def abort(self, ticket: Ticket) -> None:
        """Forget the rows of a transaction that did not commit."""
        self._decide(frame.ABORTED, ticket)

    def doubt(self, ticket: Ticket) -> None:
        """Say that nobody knows whether the transaction of a ticket has committed: its rows go out, marked."""
        self._decide(frame.MAYBE, ticket)

    def finish(self) -> None:
        """Take no more rows, only what becomes of those that are here."""
        with self._lock:
            self.full = True

    def idle(self) -> bool:
        """Tell whether no transaction has rows here that it may still decide on."""
        with self._lock:
            return self._undecided <= 0

    def close(self) -> None:
        """Take nothing any more, and leave the claim's descriptor alone from here on: its number may be another's."""
        with self._lock:
            self.full = self.closed = True

    def disown(self) -> None:
        """In a forked child: as `close`, without the lock, which a thread of the parent may hold; drop our copy."""
        self.full = self.closed = True
        self._lock = threading.Lock()
        self.claim.release()

    def _decide(self, kind: str, ticket: Ticket) -> None:
        with self._lock:
            self._append(frame.verdict(kind, ticket.first, ticket.last))
            self._undecided -= 1
        if kind != frame.ABORTED:
            # It is written, and the rows are on the disk: without it they would be in doubt after a power cut.
            with contextlib.suppress(OSError):
                self._sync()

    def _append(self, data: bytes) -> None:
        if self.closed:
            raise OSError(errno.EBADF, "the spool is closed")
        if not self.end:
            data = frame.BEGIN + data
        written = os.write(self.claim.descriptor, data)
        if written != len(data):
            # What is left of a row that did not fit would only be skipped, loudly, by who reads.
            with contextlib.suppress(OSError):
                os.ftruncate(self.claim.descriptor, self.end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.end += written

    def _sync(self) -> None:
        # Not under the lock: threads that wait for the disk wait together.
        if not self._durable:
            return
        try:
            os.fdatasync(self.claim.descriptor)
        except OSError:
            # The kernel tells of a failed sync once, and then takes the pages for clean: trust this file no further.
            self.finish()
            raise
