"""Spool files whose process is gone: settle what it left in doubt, publish, set the file aside.

In: the spool directory and a way to publish. Out: nothing waits in an orphan any more. What can't be read of one is
lost with a loud line; a stream that takes nothing ends the turn with `StoreUnavailable`, the rest waits.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from kinto_notify.outbox.directory import Claim, SpoolDirectory
from kinto_notify.outbox.in_doubt import settle
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView

logger = logging.getLogger(__name__)


class Adoption:
    """Finishes what dead processes left in a spool directory."""

    def __init__(self, directory: SpoolDirectory, storage: StorageView) -> None:
        self._directory = directory
        self._storage = storage
        #: One line for each file is enough.
        self._told: set[Path] = set()

    def turn(self, pump: Callable[[SpoolReader], int]) -> int:
        """Take each orphan there is now to its end; return how many entries were published."""
        published = 0
        for claim in self._directory.orphans(self._tell):
            try:
                published += self._finish(claim, pump)
            except BlockingIOError:
                # Another relay took it for a living one's a moment ago; its turn comes again.
                continue
            except OSError as error:
                # Out of room, or not ours to read: its turn comes again, and the others' comes now.
                self._tell(claim.path, error)
        return published

    def _tell(self, path: Path, error: OSError) -> None:
        if path not in self._told:
            self._told.add(path)
            logger.error("kinto-notify: orphaned spool %s can't be finished now: %s", path, error)

    def _finish(self, claim: Claim, pump: Callable[[SpoolReader], int]) -> int:
        reader, published = None, 0
        try:
            reader = SpoolReader(claim.path, claim.descriptor)
            settle(claim, reader, self._storage)
            while batch := pump(reader):
                published += batch
        except BaseException:
            claim.release()
            raise
        finally:
            if reader is not None:
                reader.close()
        if published:
            logger.warning("kinto-notify: %d event(s) of an ended process published", published)
        if reader.damage:
            aside = self._directory.quarantine(claim)
            logger.critical("kinto-notify: orphaned spool %s is damaged: %s; set aside", aside, reader.damage)
        elif reader.kept:
            self._directory.retire(claim)
        else:
            self._directory.remove(claim)
        return published
