"""What we do in Kinto's own database session: entries are committed with the change, or not at all.

In: the session of the current transaction. Out: rows in `kinto_notify_outbox`; questions to storage that harm nothing.
A fault of ours is undone up to a savepoint, since PostgreSQL would else refuse all that comes after it, and answer the
commit with a rollback. Raises `NotWritten`, whose text holds no entry.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from kinto_notify.errors import OutboxUnavailable
from kinto_notify.outbox.postgresql import BATCH_BYTES, reason, text
from kinto_notify.outbox.split import Entry

# Somebody may hold a lock on our table (VACUUM FULL), and counting may take long: a write must not wait for either.
_BEFORE = ("SAVEPOINT kinto_notify", "SET LOCAL lock_timeout = '1s'", "SET LOCAL statement_timeout = '2s'")
_AFTER = (
    "SET LOCAL statement_timeout TO DEFAULT",
    "SET LOCAL lock_timeout TO DEFAULT",
    "RELEASE SAVEPOINT kinto_notify",
)
_UNDO = ("ROLLBACK TO SAVEPOINT kinto_notify",)
_INSERT = (
    "INSERT INTO kinto_notify_outbox (namespace, event_id, entry)"
    " SELECT :namespace, * FROM unnest(CAST(:ids AS uuid[]), CAST(:bodies AS text[]))"
)
#: As psycopg2 takes it.
_NAMED = re.compile(r":(namespace|ids|bodies)\b")


class NotWritten(OutboxUnavailable):
    """Entries were not written; `lost`: nor can anything else of this transaction be committed any more."""

    def __init__(self, reason: str, *, lost: bool) -> None:
        super().__init__(reason)
        self.lost = lost


def insert(session: Any, namespace: str, entries: Sequence[Entry]) -> None:
    """Write entries; a fault leaves the session as it was."""
    try:
        parts = list(_parts(entries))
        for number, part in enumerate(parts, 1):
            before, after = _BEFORE if number == 1 else (), _AFTER if number == len(parts) else ()
            values = {"namespace": namespace, "ids": [e.id for e in part], "bodies": [e.body.decode() for e in part]}
            _run(session, (*before, _INSERT, *after), values)
    except Exception as error:  # noqa: BLE001 - the driver's, and what an entry may hold that it can't encode
        raise NotWritten(reason(error), lost=not _undone(session)) from None


@contextmanager
def harmless(session: Any) -> Iterator[None]:
    """Let a fault in the block, which is raised, leave the session as it was."""
    _run(session, _BEFORE)
    try:
        yield
    except BaseException:
        _undone(session)
        raise
    _run(session, _AFTER)


def _undone(session: Any) -> bool:
    with suppress(Exception):
        _run(session, _UNDO)
        return True
    return False


def _run(session: Any, steps: Sequence[str], values: Mapping[str, Any] | None = None) -> None:
    connection = session.connection()
    if connection.dialect.driver == "psycopg2":
        # It sends text, and takes several statements in one round trip; what SQLAlchemy does to a text costs as much.
        connection.exec_driver_sql(_for_psycopg2(steps), values)
        return
    for step in steps:
        connection.execute(text(step), values if step == _INSERT else {})


@lru_cache(8)
def _for_psycopg2(steps: Sequence[str]) -> str:
    return _NAMED.sub(r"%(\1)s", "; ".join(steps))


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + len(entry.body) > BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry.body)
    if part:
        yield part
