"""The outbox emptied from outside Kinto: the table, the spools of dead processes, and of live ones with an external
relay.

In: a listener's settings. Out: what waits there is in the stream. Raises `StoreUnavailable` when Redis takes nothing,
`OutboxUnavailable` when the database does not answer; everything stays where it is then. `ConfigError` where the
settings ask for a table that is not there.
"""

import contextlib
import logging
import time
from pathlib import Path

from kinto_notify.errors import OutboxUnavailable
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.choice import existing_table
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.postgresql import Table
from kinto_notify.outbox.progress import Progress
from kinto_notify.outbox.pump import Source, pump
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.stream import Stream
from kinto_notify.outbox.survey import survey

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
        #: How long each living file was when all in it was published: while it does not grow there is nothing to do.
        self._settled: dict[Path, int] = {}
        #: What each was told of.
        self._told: dict[Path, str] = {}

    def turn(self) -> int:
        """Publish all that waits now; return how many entries that were."""
        published = self._adoption.turn(self._pump)
        if self._all:
            living = self._directory.live()
            self._settled = {path: self._settled[path] for path in living if path in self._settled}
            self._told = {path: self._told[path] for path in living if path in self._told}
            published += sum(self._live(path) for path in living)
        self._directory.purge(self._retention)
        return published + self._from_table()

    @property
    def rest(self) -> float:
        """The seconds to rest before the next batch: none, until Redis fills."""
        return self._stream.rest

    def _pump(self, source: Source) -> int:
        if published := pump(source, self._stream):
            time.sleep(self.rest)
        return published

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
            time.sleep(self.rest)
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
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            return survey(file.fileno(), Progress(path, marks=False).offset).depth
        return Depth()

    def close(self) -> None:
        """Drop the connections."""
        self._stream.close()
        if self._table is not None:
            self._table.close()

    def _live(self, path: Path) -> int:
        """Publish what waits in the file of a living process, which appends to it meanwhile."""
        published = 0
        try:
            size = path.stat().st_size
            if size == self._settled.get(path, 0):
                return 0
            # Opened each time, so that its lock is free for whoever adopts the file, and for another relay.
            with contextlib.closing(SpoolReader(path)) as reader:
                while batch := self._pump(reader):
                    published += batch
                if reader.done(size):
                    self._settled[path] = size
                self._tell(path, reader.damage)
        except (BlockingIOError, FileNotFoundError):
            # Another relay is at work on it, or its process has just ended.
            pass
        except OSError as error:
            self._tell(path, str(error))
        return published

    def _tell(self, path: Path, what: str) -> None:
        if what and self._told.get(path) != what:
            self._told[path] = what
            logger.error("kinto-notify: spool %s: %s", path.name, what)
