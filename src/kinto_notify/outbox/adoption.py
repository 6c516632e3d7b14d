"""Spool files whose process is gone: settle what it left in doubt, publish, set the file aside.

In: the spool directory and a way to publish. Out: nothing waits in an orphan any more. An orphan that can't be read is
set aside with a loud line; a stream that takes nothing ends the turn with `StoreUnavailable`, the rest waits.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from kinto_notify.outbox.directory import Claim, SpoolDirectory
from kinto_notify.outbox.in_doubt import settle
from kinto_notify.outbox.spool import Spool, Waiting
from kinto_notify.outbox.storage import StorageView

logger = logging.getLogger(__name__)


class Adoption:
    """Finishes what dead processes left in a spool directory."""

    def __init__(self, directory: SpoolDirectory, storage: StorageView) -> None:
        self._directory = directory
        self._storage = storage
        #: One line for each file is enough.
        self._told: set[Path] = set()

    def turn(self, pump: Callable[["Orphan"], int]) -> int:
        """Take each orphan there is now to its end; return how many entries were published."""
        published = 0
        for claim in self._directory.orphans():
            try:
                published += self._finish(claim, pump)
            except (sqlite3.Error, OSError) as error:
                # Busy, out of room, or not ours to read: its turn comes again, and the others' comes now.
                self._tell(claim, error)
        return published

    def _tell(self, claim: Claim, error: BaseException) -> None:
        if claim.path not in self._told:
            self._told.add(claim.path)
            logger.error("kinto-notify: orphaned spool %s can't be finished now: %s", claim.path, error)

    def _finish(self, claim: Claim, pump: Callable[["Orphan"], int]) -> int:
        if not claim.path.stat().st_size:
            # Its process died before it wrote anything.
            self._directory.remove(claim)
            return 0
        spool = None
        try:
            spool = Spool(claim.path)
            settle(spool, self._storage)
            orphan, published = Orphan(spool), 0
            while batch := pump(orphan):
                published += batch
            empty = spool.empty()
            spool.close()
        except sqlite3.DatabaseError as error:
            if spool is not None:
                spool.close()
            if isinstance(error, sqlite3.OperationalError):
                claim.release()
                raise
            aside = self._directory.quarantine(claim)
            logger.critical("kinto-notify: orphaned spool %s is unreadable (%s); set aside", aside, error)
            return 0
        except BaseException:
            if spool is not None:
                spool.close()
            claim.release()
            raise
        if empty:
            self._directory.remove(claim)
        else:
            self._directory.retire(claim)
        if published:
            logger.warning("kinto-notify: %d event(s) of an ended process published", published)
        return published


class Orphan:
    """The spool of a process that is gone, as the relay wants it."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest committed entries."""
        return self._spool.waiting(rows, size)

    def published(self, waiting: Sequence[Waiting]) -> None:
        """Mark them as published."""
        self._spool.published([row.seq for row in waiting])
