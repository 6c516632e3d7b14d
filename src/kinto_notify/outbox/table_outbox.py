"""The outbox in Kinto's own database: entries are committed with the change, or not at all.

In: the entries of a transaction, just before it commits. Out: rows of `kinto_notify_outbox`, and to the relay what
waits there. What the table does not take goes to the spool instead, with a line in the log; in strict mode
`prepare` raises `OutboxUnavailable` instead, and the write is refused.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.postgresql import Table
from kinto_notify.outbox.process import Receipt
from kinto_notify.outbox.session import NotWritten, insert
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool_outbox import SpoolOutbox

logger = logging.getLogger(__name__)

_PURGE_SECONDS = 10.0
_PURGE_STEPS = 25
_TELL_SECONDS = 5.0


class TableOutbox:
    """The outbox over the table; one object serves all processes forked from the one that made it."""

    def __init__(
        self,
        client: Any,
        make_table: Callable[[], Table],
        namespace: str,
        spool: SpoolOutbox,
        counters: Counters,
        *,
        strict: bool = False,
    ) -> None:
        self.strict = strict
        #: Set by a commit, cleared by the relay: an idle relay need not ask the database.
        self.news = True
        self._client = client
        self._make_table = make_table
        self._namespace = namespace
        self._spool = spool
        self._counters = counters
        #: The relay's connection, by process: it must not cross a fork.
        self._tables: dict[int, Table] = {}
        self._purge_after = 0.0
        self._tell_after = 0.0

    # --- the transaction's side --------------------------------------------------------------------------------

    def prepare(self, entries: Sequence[Entry], probe: str, *, final: bool = False) -> Receipt | None:
        """Write entries in the session of the current transaction; None: all is done, or all is lost anyway."""
        fault: NotWritten | None = None
        with self._client.connect() as session:
            try:
                insert(session, self._namespace, entries)
            except NotWritten as error:
                # Caught in here: Kinto would log what leaves this block with the statement and its values.
                fault = error
        if fault is None:
            return None
        self._failed(fault)
        if self.strict:
            raise fault
        # Where the transaction itself is lost, its changes are too: there is nothing to notify.
        return None if fault.lost else self._spool.prepare(entries, probe)

    def commit(self, receipt: Receipt | None) -> None:
        """Let the entries go out."""
        self.news = True
        if receipt is not None:
            self._spool.commit(receipt)

    def abort(self, receipt: Receipt | None) -> None:
        """Forget the entries: the database does so by itself."""
        if receipt is not None:
            self._spool.abort(receipt)

    def doubt(self, receipt: Receipt | None) -> None:
        """Let the entries go out, marked, that are in the spool; of those in the database that knows."""
        self.news = True
        if receipt is not None:
            self._spool.doubt(receipt)

    # --- the relay's side --------------------------------------------------------------------------------------

    def turn(self, append: Callable[[Sequence[Entry]], None]) -> int:
        """Publish a batch of what waits in the database, whichever process wrote it; return how many entries."""
        if not self.news:
            return 0
        self.news = False
        try:
            published = self._table().turn(append)
        except BaseException:
            self.news = True
            raise
        # The other relay may have looked before our process committed: ask again.
        self.news = self.news or published is None or published > 0
        return published or 0

    def depth(self) -> Depth:
        """Count what waits in the database."""
        return self._table().depth()

    def upkeep(self, retention: int) -> None:
        """Look for what other processes left; now and then drop what is kept no longer."""
        self.news = True
        if time.monotonic() < self._purge_after:
            return
        self._purge_after = time.monotonic() + _PURGE_SECONDS
        for _ in range(_PURGE_STEPS):
            if not self._table().purge(retention):
                break

    def close(self) -> None:
        """Drop this process's connection."""
        table = self._tables.pop(os.getpid(), None)
        if table is not None:
            table.close()

    # --- inside ------------------------------------------------------------------------------------------------

    def _table(self) -> Table:
        table = self._tables.get(os.getpid())
        if table is None:
            table = self._tables[os.getpid()] = self._make_table()
        return table

    def _failed(self, error: NotWritten) -> None:
        self._counters.count("table_faults")
        if time.monotonic() < self._tell_after:
            return
        self._tell_after = time.monotonic() + _TELL_SECONDS
        then = "nor can the write be committed" if error.lost else "the write is refused" if self.strict else "spooled"
        logger.critical("kinto-notify could not keep an event in PostgreSQL, %s: %s", then, error)
