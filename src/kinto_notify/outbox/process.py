"""What the outbox has in one process, and must not cross a fork: its spool files and what memory holds.

In: entries and verdicts that no file takes, files that are begun. Out: the same, in order. Never fails but for
`OSError` of files.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool, Ticket
from kinto_notify.outbox.spool_reader import SpoolReader

#: What memory holds while the disk takes nothing: beyond this, events are lost, and each loss is told.
MAX_HELD_BYTES = 64 * 1024 * 1024


class Receipt(NamedTuple):
    """What a transaction left with us; without a spool, its entries are in memory only."""

    entries: tuple[Entry, ...]
    spool: Spool | None = None
    ticket: Ticket | None = None


#: Of what is written down and needs nothing more.
WRITTEN = Receipt(())


class File:
    """A spool file: its writer, and its reader once the relay has come to it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._reader: SpoolReader | None = None
        #: What damage was told of.
        self.told = ""

    @property
    def reader(self) -> SpoolReader:
        """Return the reader."""
        if self._reader is None:
            self._reader = SpoolReader(self.spool.claim.path, self.spool.claim.descriptor)
        return self._reader

    def close(self) -> None:
        """Close the reader, and tell the writer to leave the file alone. The claim stays."""
        self.spool.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class Process:
    """The outbox of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: The file that is written to, or was the last one to be; None until it is needed.
        self.spool: Spool | None = None
        #: Files that are not read to their end, oldest first; the one that is written to is the last.
        self.files: deque[File] = deque()
        self.closed_until = 0.0
        #: Verdicts that no file took.
        self.undecided: deque[tuple[Receipt, bool | None]] = deque()
        self._held: deque[Entry] = deque()
        self._held_bytes = 0

    def turn_over(self) -> None:
        """Let the next write begin a new file."""
        if self.spool is not None:
            self.spool.finish()

    def hold(self, entries: Sequence[Entry]) -> list[Entry]:
        """Keep entries in memory; return those for which there is no room."""
        lost = []
        with self.lock:
            for entry in entries:
                if self._held_bytes + len(entry.body) <= MAX_HELD_BYTES:
                    self._held.append(entry)
                    self._held_bytes += len(entry.body)
                else:
                    lost.append(entry)
        return lost

    def held(self) -> list[Entry]:
        """Return what is in memory, oldest first."""
        if not self._held:
            return []
        with self.lock:
            return list(self._held)

    def release(self) -> None:
        """Forget the oldest entry in memory."""
        with self.lock:
            self._held_bytes -= len(self._held.popleft().body)

    def disown(self) -> None:
        """In a forked child: close our copies of the parent's files, which stay the parent's."""
        self.spool = None
        while self.files:
            file = self.files.popleft()
            with contextlib.suppress(OSError):
                file.spool.disown()
                file.close()
