"""Rows that a dead process left prepared: did their transaction commit?

In: an orphaned spool and the application's storage. Out: each such row committed or gone. Storage says: the object is
as the row left it, then it committed; older or absent, then it did not; newer, or storage can't be asked: undecidable,
and the event is published with `data.maybe = true`, since losing it would be worse.
"""

import json
import logging

from kinto_notify import wire
from kinto_notify.outbox.spool import Spool, Ticket
from kinto_notify.outbox.storage import StorageView

logger = logging.getLogger(__name__)


def settle(spool: Spool, storage: StorageView) -> None:
    """Decide on every row left prepared. Not for a thread that serves a request: its transaction is ended."""
    try:
        _settle(spool, storage)
    finally:
        storage.release()


def _settle(spool: Spool, storage: StorageView) -> None:
    verdicts: dict[str, bool | None] = {}
    for seq, event_id, probe in spool.in_doubt():
        if probe not in verdicts:
            verdicts[probe] = _committed(probe, storage)
        verdict = verdicts[probe]
        ticket = Ticket(seq, seq)
        if verdict is False:
            spool.abort(ticket)
            continue
        if verdict is None:
            spool.replace_body(seq, marked(spool.body(seq)))
        spool.commit(ticket)
        logger.warning("kinto-notify: event %s was in doubt, published%s", event_id, "" if verdict else " as maybe")


def marked(body: bytes) -> bytes:
    """Return the entry with `data.maybe = true`."""
    event = json.loads(body)
    event["data"]["maybe"] = True
    return wire.encode(event)


def verdict(asked: int, held: int | None) -> bool | None:
    """Compare what a transaction left with what storage holds: committed, not committed, or undecidable (None)."""
    if held is None or held < asked:
        return False
    return True if held == asked else None


def _committed(probe: str, storage: StorageView) -> bool | None:
    """Ask storage about the objects of one transaction; the first that decides does."""
    if not storage.outlives_process():
        return None
    for resource, parent, object_id, after in json.loads(probe or "[]"):
        try:
            held = storage.last_modified(resource, parent, [object_id])
        except Exception:
            logger.exception("kinto-notify could not ask storage about an event in doubt; it is published")
            return None
        if object_id in held and (decided := verdict(after, held[object_id])) is not None:
            return decided
    return None
