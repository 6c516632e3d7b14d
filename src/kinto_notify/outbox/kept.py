"""What the outbox keeps of the published events, for `replay`.

In: a listener's settings and a time. Out: the entries published since then, in about the order in which they went out,
in batches for the stream. Raises `OutboxUnavailable` where the database does not answer; a spool file that can't be
read is skipped with a line in the log.
"""

import contextlib
import heapq
import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from kinto_notify.outbox.choice import existing_table
from kinto_notify.outbox.contents import Kept
from kinto_notify.outbox.directory import DRAINED, SpoolDirectory
from kinto_notify.outbox.progress import Marks
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.spool_reader import SpoolReader

logger = logging.getLogger(__name__)

_BATCH_ROWS = 200
_BATCH_BYTES = 4 * 1024 * 1024


def kept_since(settings: OutboxSettings, since: int) -> Iterator[Kept]:
    """Yield what was published since a time (ms) and is kept, of all processes."""
    directory = SpoolDirectory(settings.spool, settings.namespace)
    table = existing_table(settings)
    try:
        # Living files first: one that is set aside meanwhile is found under its other name.
        paths = {path.stem: path for path in [*directory.live(), *directory.drained()]}
        sources = [
            (begin, of_spool(path, since)) for path in paths.values() if (begin := Marks(path).first) is not None
        ]
        if table is not None:
            sources.append((0, table.kept(since)))
        yield from _merged(sources)
    finally:
        if table is not None:
            table.close()


def batches(kept: Iterator[Kept]) -> Iterator[list[Kept]]:
    """Group entries into what goes to Redis in one round trip."""
    batch: list[Kept] = []
    size = 0
    for one in kept:
        batch.append(one)
        size += len(one.entry.body)
        if len(batch) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def of_spool(path: Path, since: int) -> Iterator[Kept]:
    """Yield what was published of one file since a time (ms)."""
    if not path.exists():
        # Its process has just ended.
        path = path.with_suffix(DRAINED)
    try:
        marks = Marks(path)
        with contextlib.closing(SpoolReader(path, marks=False)) as reader:
            while rows := reader.waiting(_BATCH_ROWS, _BATCH_BYTES):
                for row in rows:
                    at = marks.published_at(row.start)
                    if at is not None and at >= since:
                        yield Kept(at, row.entry)
                if rows[-1].start >= marks.end:
                    break
                reader.published(rows)
            if reader.damage:
                logger.error("kinto-notify: spool %s is damaged: %s", path.name, reader.damage)
    except OSError as error:
        if path.exists():
            logger.error("kinto-notify: spool %s: %s", path.name, error)  # noqa: TRY400 - the line says it all


def _merged(sources: list[tuple[int, Iterator[Kept]]]) -> Iterator[Kept]:
    """Merge by time; a source is not opened before its first time (ms), since many open files are too many."""
    later = sorted(sources, key=lambda source: source[0], reverse=True)
    # The number settles a draw: entries and generators have no order.
    numbers = count()
    heap: list[tuple[int, int, Kept, Iterator[Kept]]] = []
    while heap or later:
        while later and (not heap or later[-1][0] <= heap[0][0]):
            source = later.pop()[1]
            if (one := next(source, None)) is not None:
                heapq.heappush(heap, (one.at, next(numbers), one, source))
        if heap:
            _, _, one, source = heap[0]
            yield one
            if (following := next(source, None)) is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (following.at, next(numbers), following, source))
