"""The outbox emptied from outside Kinto: the spools of dead processes, and of live ones with an external relay.

In: a listener's settings. Out: what waits there is in the stream. Raises `StoreUnavailable` when Redis takes nothing;
everything stays where it is then.
"""

import logging
import sqlite3
from pathlib import Path

from kinto_notify.outbox.adoption import Adoption, Orphan
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.pump import pump
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.spool import Depth, Spool
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.stream import Stream

logger = logging.getLogger(__name__)


class Drain:
    """Empties the spool directory of one listener."""

    def __init__(self, settings: OutboxSettings) -> None:
        self._all = settings.external_relay
        self._directory = SpoolDirectory(settings.spool, settings.namespace)
        self._stream = Stream(settings.url, settings.namespace, settings.retention)
        # Kinto's storage is Kinto's: what only it could decide is published, marked.
        self._adoption = Adoption(self._directory, StorageView(None))
        self._retention = settings.retention
        #: Up to which row each living file is settled, so that its published rows are not read over and over.
        self._settled: dict[Path, int] = {}

    def turn(self) -> int:
        """Publish all that waits now; return how many entries that were."""
        published = self._adoption.turn(lambda source: pump(source, self._stream))
        if self._all:
            living = self._directory.live()
            self._settled = {path: self._settled[path] for path in living if path in self._settled}
            published += sum(self._live(path) for path in living)
        self._directory.purge(self._retention)
        return published

    def depth(self) -> Depth:
        """Tell about how much waits, and since when."""
        depths = [depth for path in self._directory.live() if (depth := self._depth(path)).rows]
        return Depth(sum(depth.rows for depth in depths), max((depth.age for depth in depths), default=0.0))

    def _depth(self, path: Path) -> Depth:
        try:
            spool = Spool(path, create=False, settled=self._settled.get(path, 0))
        except sqlite3.Error:
            return Depth()
        try:
            return spool.depth()
        finally:
            spool.close()

    def close(self) -> None:
        """Drop the connection."""
        self._stream.close()

    def _live(self, path: Path) -> int:
        """Publish what waits in the file of a living process, which writes to it meanwhile."""
        try:
            spool = Spool(path, create=False, settled=self._settled.get(path, 0))
        except sqlite3.Error:
            # Its process has just ended, or is just setting it up: its turn comes again.
            return 0
        try:
            published = 0
            while batch := pump(Orphan(spool), self._stream):
                published += batch
            self._settled[path] = spool.settled_to
            return published
        except sqlite3.Error as error:
            logger.error("kinto-notify: spool %s: %s", path.name, error)  # noqa: TRY400 - the line says it all
            return 0
        finally:
            spool.close()
