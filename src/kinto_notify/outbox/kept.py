"""What the outbox keeps of the published events, for `replay`.

In: a listener's settings and a time. Out: the entries published since then, in about the order in which they went out,
in batches for the stream. Raises `OutboxUnavailable` where the database does not answer; a spool file that can't be
read is skipped with a line in the log.
"""

import heapq
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from kinto_notify.outbox.choice import existing_table
from kinto_notify.outbox.directory import DRAINED, SpoolDirectory
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.spool import Kept, Spool

logger = logging.getLogger(__name__)

_BATCH_ROWS = 200
_BATCH_BYTES = 4 * 1024 * 1024


def kept_since(settings: OutboxSettings, since: int) -> Iterator[Kept]:
    """Yield what was published since a time (ms) and is kept, of all processes."""
    directory = SpoolDirectory(settings.spool, settings.namespace)
    table = existing_table(settings)
    try:
        # Living files first: one that is set aside meanwhile is found under its other name.
        paths = [*directory.live(), *sorted(directory.path.glob(f"{directory.namespace}@*{DRAINED}"))]
        sources = [_of_spool(path, since) for path in paths]
        if table is not None:
            sources.append(table.kept(since))
        yield from heapq.merge(*sources, key=lambda kept: kept.at)
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


def _of_spool(path: Path, since: int) -> Iterator[Kept]:
    after = 0
    try:
        spool = Spool(path, create=False)
    except (sqlite3.Error, OSError) as error:
        if path.exists():
            logger.error("kinto-notify: spool %s: %s", path.name, error)  # noqa: TRY400 - the line says it all
        return
    try:
        while rows := spool.kept(since, after, _BATCH_ROWS):
            yield from (kept for _, kept in rows)
            after = rows[-1][0]
    except sqlite3.Error as error:
        logger.error("kinto-notify: spool %s: %s", path.name, error)  # noqa: TRY400 - as above
    finally:
        spool.close()
