"""The spool of one process: entries on local disk between Kinto's transaction and the Redis stream.

In: entries, and what became of their transaction. Out: the committed ones, in order, until they are marked as
published; then they are kept for `retention`. One SQLite file (WAL), one connection and one lock, shared by the
request threads and the relay thread. Raises `sqlite3.Error` or `OSError`; the caller decides what that means.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kinto_notify.outbox.split import Entry

# The states of a row are 2 prepared, 3 committed, 4 published. All take one byte on disk, so that a change of state
# overwrites one page in place and never the body. There is no index: it would double what each write costs.
#: Nobody else writes to a live file but our own checkpoints; longer waits would be the request's.
BUSY_SECONDS = 0.25
#: The relay thread checkpoints (fsync) so that no request has to; where it is gone, one does at 64 MB.
_AUTO_CHECKPOINT_PAGES = 16384
#: A row prepared for longer than this no longer holds back what was committed after it.
HOLD_BACK_MS = 5000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY, state INTEGER NOT NULL, at INTEGER NOT NULL,
    id TEXT NOT NULL, body BLOB NOT NULL, probe TEXT NOT NULL);
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The rows of one transaction: those with `first <= seq <= last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A committed row that the stream does not have yet; `source` is None for one in memory."""

    seq: int
    entry: Entry
    source: "Spool | None" = None


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits in a spool, and since when the oldest does (seconds)."""

    rows: int = 0
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A published entry that is kept for `replay`; `at` is when it was published, in ms."""

    at: int
    entry: Entry


def now_ms() -> int:
    """Return this host's time; rows of one spool are compared with it, nothing that two hosts share."""
    return time.time_ns() // 1_000_000


class Spool:
    """One spool file. Made on first use, after any fork: a connection must not cross one."""

    def __init__(self, path: Path, *, durable: bool = False, create: bool = True, settled: int = 0) -> None:
        self.path = path
        #: Every row up to this one is published or gone: looking for others starts behind it.
        self.settled_to = settled
        self.lock = threading.Lock()
        #: Set by a commit, cleared by the relay: an idle relay need not ask the file.
        self.news = True
        self._checkpointed = -1
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._set_up(durable)
        except BaseException:
            self._db.close()
            raise

    def _set_up(self, durable: bool) -> None:
        self.path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_AUTO_CHECKPOINT_PAGES}").fetchone()
        self._db.executescript(_SCHEMA)
        # Counted here, since SQLite would use the numbers of deleted rows again, which are settled.
        self._last = self._max()

    def _max(self) -> int:
        return int(self._db.execute("SELECT ifnull(max(seq), 0) FROM entry").fetchone()[0])

    # --- the writers' side -------------------------------------------------------------------------------------

    def prepare(self, entries: Sequence[Entry], probe: str = "", *, final: bool = False) -> Ticket:
        """Write entries whose transaction is about to commit; `probe` tells how to ask storage if we die now.

        `final`: nothing can stop the commit any more, they may go out at once.
        """
        at = now_ms()
        sql = "INSERT INTO entry (seq, state, at, id, body, probe) VALUES (?, ?, ?, ?, ?, ?)"
        with self.lock:
            first = self._last + 1
            state = 3 if final else 2
            rows = [(seq, state, at, entry.id, entry.body, probe) for seq, entry in enumerate(entries, first)]
            if len(rows) == 1:
                self._db.execute(sql, rows[0])
            else:
                with self._transaction():
                    self._db.executemany(sql, rows)
            self._last += len(rows)
        self.news = self.news or final
        return Ticket(first, self._last)

    def commit(self, ticket: Ticket) -> None:
        """Say that the transaction of a ticket has committed."""
        with self.lock:
            self._db.execute(
                "UPDATE entry SET state = 3 WHERE seq BETWEEN ? AND ? AND state = 2",
                (ticket.first, ticket.last),
            )
        self.news = True

    def abort(self, ticket: Ticket) -> None:
        """Forget the rows of a transaction that did not commit."""
        with self.lock:
            self._db.execute(
                "DELETE FROM entry WHERE seq BETWEEN ? AND ? AND state = 2",
                (ticket.first, ticket.last),
            )

    # --- the relay's side --------------------------------------------------------------------------------------

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest committed rows, at most `rows` and about `size` bytes.

        It stops at a row prepared a moment ago: its transaction may be committed already, and be the older one.
        """
        found: list[Waiting] = []
        with self.lock:
            # Before the search: what another process adds during it is not settled.
            last = self._max()
            cursor = self._db.execute(
                "SELECT seq, state, at, id, body FROM entry WHERE seq > ? AND state < 4 ORDER BY seq LIMIT ?",
                (self.settled_to, rows),
            )
            first = None
            for seq, state, at, event_id, body in cursor:
                first = first or seq
                if state == 2 and at > now_ms() - HOLD_BACK_MS:
                    break
                if state == 3:
                    found.append(Waiting(seq, Entry(event_id, body), self))
                    size -= len(body)
                    if size <= 0:
                        break
            cursor.close()
            self.settled_to = max(self.settled_to, first - 1 if first else last)
        return found

    def published(self, seqs: Sequence[int]) -> None:
        """Mark rows as published; from now on their retention runs."""
        with self.lock:
            self._db.execute(
                "UPDATE entry SET state = 4, at = ? WHERE seq IN (SELECT value FROM json_each(?))",
                (now_ms(), json.dumps(list(seqs))),
            )

    def in_doubt(self) -> list[tuple[int, str, str]]:
        """Return `(seq, event id, probe)` of the rows left prepared; only for the file of a dead process."""
        with self.lock:
            return self._db.execute("SELECT seq, id, probe FROM entry WHERE state = 2 ORDER BY seq").fetchall()

    def body(self, seq: int) -> bytes:
        """Return one row's entry."""
        with self.lock:
            body: bytes = self._db.execute("SELECT body FROM entry WHERE seq = ?", (seq,)).fetchone()[0]
        return body

    def replace_body(self, seq: int, body: bytes) -> None:
        """Put another body into a row."""
        with self.lock:
            self._db.execute("UPDATE entry SET body = ? WHERE seq = ?", (body, seq))

    def depth(self) -> Depth:
        """Tell about how much waits: rows settled out of order in between are counted too."""
        with self.lock:
            first = self._db.execute(
                "SELECT seq, at FROM entry WHERE seq > ? AND state = 3 ORDER BY seq LIMIT 1", (self.settled_to,)
            ).fetchone()
            last = self._max()
        if first is None:
            return Depth()
        return Depth(last - first[0] + 1, max(0.0, (now_ms() - first[1]) / 1000))

    def kept(self, since: int, after: int, rows: int) -> list[tuple[int, Kept]]:
        """Return rows, by number, above the number `after` that were published since a time (ms)."""
        with self.lock:
            found = self._db.execute(
                "SELECT seq, at, id, body FROM entry WHERE seq > ? AND state = 4 AND at >= ? ORDER BY seq LIMIT ?",
                (after, since, rows),
            ).fetchall()
        return [(seq, Kept(at, Entry(event_id, body))) for seq, at, event_id, body in found]

    def purge(self, retention: int) -> int:
        """Drop some of the oldest rows that were published more than `retention` seconds ago; return how many."""
        with self.lock:
            gone = self._db.execute(
                "DELETE FROM entry WHERE state = 4 AND at < ? AND seq IN"
                " (SELECT seq FROM entry ORDER BY seq LIMIT 200)",
                (now_ms() - retention * 1000,),
            )
            return gone.rowcount

    def empty(self) -> bool:
        """Tell whether the file holds no row at all, not even one kept for replay."""
        with self.lock:
            return self._db.execute("SELECT 1 FROM entry LIMIT 1").fetchone() is None

    def settled(self) -> bool:
        """Tell whether nothing waits: neither committed nor in doubt."""
        with self.lock:
            return self._db.execute("SELECT 1 FROM entry WHERE state < 4 LIMIT 1").fetchone() is None

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, without making a writer wait; nothing if nothing was written."""
        changes = self._db.total_changes
        if changes == self._checkpointed:
            return
        # Its own connection: the fsync must not happen under the writers' lock. PASSIVE never blocks them.
        other = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._checkpointed = changes
        finally:
            other.close()

    def close(self) -> None:
        """Close the file; only the process that opened it may."""
        with self.lock:
            self._db.close()

    def _transaction(self) -> "_Immediate":
        return _Immediate(self._db)


class _Immediate:
    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def __enter__(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.db.execute("COMMIT")
        elif self.db.in_transaction:
            self.db.execute("ROLLBACK")
