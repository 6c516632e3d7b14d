"""Rows that a dead process left prepared: did their transaction commit?

In: an orphaned spool and the application's storage. Out: each such row committed or gone. Storage says: the object is
as the row left it, then it committed; older or absent, then it did not; newer: undecidable, and the event is published
with `data.maybe = true`, since losing it would be worse. A storage that does not answer is asked again later
(`StorageSilent`), but not for ever: a row that has waited for an hour is published as undecidable.
"""

import contextlib
import json
import logging
import os
import time

from kinto_notify.outbox import frame
from kinto_notify.outbox.directory import Claim
from kinto_notify.outbox.frame import Frame
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView
from kinto_notify.wire import id_time

logger = logging.getLogger(__name__)

#: How long a row waits for a storage that does not answer: a fail-over or a restart is over by then.
PATIENCE_MS = 3_600_000
_VERDICTS = {True: frame.COMMITTED, False: frame.ABORTED, None: frame.MAYBE}


class StorageSilent(OSError):
    """Storage does not answer; what is in doubt stays so."""


def settle(claim: Claim, reader: SpoolReader, storage: StorageView) -> None:
    """Decide on every row left prepared, before anything is read.

    Not for a thread that serves a request: its transaction is ended. Raises `StorageSilent` with nothing decided.
    """
    seen = reader.survey()
    if seen.torn:
        told = (claim.path.name, seen.torn)
        logger.warning("kinto-notify: spool %s ends in %d bytes of a write that was not finished", *told)
    try:
        verdicts = {seq: _VERDICTS[known] for seq, known in _decide(seen.in_doubt, storage).items()}
    finally:
        storage.release()
    reader.decide(verdicts)
    if verdicts and not seen.torn:
        # For replay, and for whoever adopts the file should we die; on a full disk storage is asked again then.
        with contextlib.suppress(OSError):
            os.write(claim.descriptor, b"".join(frame.verdict(kind, seq, seq) for seq, kind in verdicts.items()))


def _decide(rows: dict[int, Frame], storage: StorageView) -> dict[int, bool | None]:
    verdicts: dict[int, bool | None] = {}
    answers: dict[str, bool | None] = {}
    for seq, row in rows.items():
        if row.probe not in answers:
            answers[row.probe] = _committed(row, storage)
        verdicts[seq] = known = answers[row.probe]
        if known is not False:
            logger.warning(
                "kinto-notify: event %s was in doubt, published%s", row.entry.id, "" if known else " as maybe"
            )
    return verdicts


def verdict(asked: int, held: int | None) -> bool | None:
    """Compare what a transaction left with what storage holds: committed, not committed, or undecidable (None)."""
    if held is None or held < asked:
        return False
    return True if held == asked else None


def _committed(row: Frame, storage: StorageView) -> bool | None:
    """Ask storage about the objects of one transaction; the first that decides does."""
    if not storage.outlives_process():
        return None
    for resource, parent, object_id, after in json.loads(row.probe or "[]"):
        try:
            held = storage.last_modified(resource, parent, [object_id])
        except Exception as fault:
            if time.time() * 1000 - (id_time(row.entry.id) or 0) < PATIENCE_MS:
                raise StorageSilent(f"storage does not say what became of a transaction: {_brief(fault)}") from fault
            logger.exception("kinto-notify could not ask storage about an event in doubt; it is published")
            return None
        if object_id in held and (decided := verdict(after, held[object_id])) is not None:
            return decided
    return None


def _brief(fault: BaseException) -> str:
    return (str(fault).splitlines() or [""])[0][:200] or type(fault).__name__
