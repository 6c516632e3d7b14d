"""The outbox emptied from outside Kinto: the table, the spools of dead processes, and of live ones with an external
relay.

In: a listener's settings. Out: what waits there is in the stream. Raises `StoreUnavailable` when Redis takes nothing,
`OutboxUnavailable` when the database does not answer; everything stays where it is then. `ConfigError` where the
settings ask for a table that is not there.
"""

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

from kinto_notify.errors import OutboxUnavailable
from kinto_notify.outbox.adoption import Adoption, Orphan
from kinto_notify.outbox.choice import existing_table
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.postgresql import Table
from kinto_notify.outbox.pump import pump
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.spool import Depth, Spool
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.stream import Stream

logger = logging.getLogger(__name__)

#: A table that is not there yet is looked for this often, and one that is gets its oldest rows dropped.
_UPKEEP_SECONDS = 10.0


class Drain:
    """Empties the table and the spool directory of one listener; `storage` decides on what is in doubt there."""

    def __init__(self, settings: OutboxSettings, storage: StorageView) -> None:
        self._all = settings.external_relay
        self._directory = SpoolDirectory(settings.spool, settings.namespace)
        self._stream = Stream(settings.url, settings.namespace, settings.retention)
        self._adoption = Adoption(self._directory, storage)
        self._retention = settings.retention
        self._settings = settings
        self._table: Table | None = None
        self._next_upkeep = 0.0
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
        return published + self._from_table()

    def _from_table(self) -> int:
        if time.monotonic() >= self._next_upkeep:
            if self._table is None:
                self._table = existing_table(self._settings)
            if self._table is not None:
                self._table.purge(self._retention)
            self._next_upkeep = time.monotonic() + _UPKEEP_SECONDS
        published = 0
        while self._table is not None and (batch := self._table.turn(self._stream.append)):
            published += batch
        return published

    def depth(self) -> Depth:
        """Tell about how much waits, and since when."""
        depths = [depth for path in self._directory.live() if (depth := self._depth(path)).rows]
        if self._table is not None:
            # Asked to tell of a fault, which may be the database's.
            with contextlib.suppress(OutboxUnavailable):
                depths.append(self._table.depth())
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
        """Drop the connections."""
        self._stream.close()
        if self._table is not None:
            self._table.close()

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
