"""The table `kinto_notify_outbox` as seen on a connection of our own, outside of requests; all that knows SQLAlchemy.

In: the URL of Kinto's database. Out: what waits, in order, to be published and marked; what is kept, for `replay`.
Raises `OutboxUnavailable`, whose text holds no entry and no password; `ConfigError` where SQLAlchemy or the driver is
not installed.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kinto_notify.errors import ConfigError, OutboxUnavailable
from kinto_notify.outbox.contents import Depth, Kept
from kinto_notify.outbox.split import Entry

#: Rows and bytes of one batch: what a worker holds in memory, and what is published again after a crash.
BATCH_ROWS = 200
BATCH_BYTES = 4 * 1024 * 1024
#: A backlog longer than this is counted no further: the count would cost more than it tells.
MAX_COUNTED = 10_000
_PURGE_ROWS = 1000
_CONNECT_SECONDS = 5
#: So that a host that is gone without a word is noticed in a minute, not in two hours (libpq's names).
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_SCHEMA = Path(__file__).with_name("table.sql")

# One relay at a time: rows skipped because another relay holds them could be overtaken by newer ones of the same
# object. The lock ends with the transaction, so it also works behind a pooler; should this process hang in the middle,
# the server ends the transaction.
_LOCK = (
    "SELECT pg_try_advisory_xact_lock(:key),"
    " set_config('idle_in_transaction_session_timeout', '60s', true)"
)  # fmt: skip
# Numbers are given out at the INSERT, with the object's row locked: for one object they are in the order of the
# commits. For others they are not, so "greater than the last one seen" would lose rows; what is not marked waits.
_WAITING = """
SELECT id, event_id, entry FROM (
    SELECT id, event_id, entry, sum(octet_length(entry)) OVER (ORDER BY id) - octet_length(entry) AS before
    FROM (SELECT id, event_id, entry FROM kinto_notify_outbox
          WHERE namespace = :namespace AND published_at IS NULL ORDER BY id LIMIT :rows) AS oldest
) AS summed WHERE before < :size ORDER BY id
"""
_PUBLISHED = "UPDATE kinto_notify_outbox SET published_at = now() WHERE id = ANY(:ids)"
_DEPTH = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM (
    SELECT created_at FROM kinto_notify_outbox
    WHERE namespace = :namespace AND published_at IS NULL ORDER BY id LIMIT :rows) AS waiting
"""
_PURGE = """
DELETE FROM kinto_notify_outbox WHERE published_at < now() - make_interval(secs => :retention) AND id IN (
    SELECT id FROM kinto_notify_outbox WHERE namespace = :namespace ORDER BY id LIMIT :rows)
"""
_KEPT = """
SELECT id, event_id, entry, extract(epoch FROM published_at) * 1000 FROM kinto_notify_outbox
WHERE namespace = :namespace AND id > :after AND published_at >= to_timestamp(:since / 1000.0)
ORDER BY id LIMIT :rows
"""
_EXISTS = "SELECT to_regclass('{name}') IS NOT NULL"


def create(session: Any) -> None:
    """Create the table where it is not there; the caller commits."""
    session.execute(text(_SCHEMA.read_text("utf-8")))


class Table:
    """The table seen from outside Kinto's requests; one connection, for one thread."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._key = int.from_bytes(hashlib.sha256(f"kinto-notify {namespace}".encode()).digest()[:8], signed=True)
        self._engine: Any = None
        self._connection: Any = None

    def exists(self, name: str = "kinto_notify_outbox") -> bool:
        """Tell whether a table is there, where Kinto's session finds its own."""
        with self._transaction() as run:
            return bool(run(_EXISTS.format(name=name)).scalar())

    def create(self) -> None:
        """Create it; `ConfigError` where Kinto's own tables are missing."""
        if not self.exists("metadata"):
            raise ConfigError("the database has no tables of Kinto: run `kinto migrate` first")
        with self._transaction() as run:
            run(_SCHEMA.read_text("utf-8"))

    def turn(self, append: Callable[[Sequence[Entry]], None]) -> int | None:
        """Give the oldest entries that wait to `append` and mark them; return how many, None if another relay is at it.

        If `append` raises, nothing is marked.
        """
        with self._transaction() as run:
            if not run(_LOCK, key=self._key).scalar():
                return None
            rows = run(_WAITING, namespace=self._namespace, rows=BATCH_ROWS, size=BATCH_BYTES).all()
            if rows:
                append([Entry(str(event_id), body.encode()) for _, event_id, body in rows])
                run(_PUBLISHED, ids=[row[0] for row in rows])
        return len(rows)

    def depth(self) -> Depth:
        """Tell how much waits, up to `MAX_COUNTED`, and since when the oldest does."""
        with self._transaction() as run:
            rows, age = run(_DEPTH, namespace=self._namespace, rows=MAX_COUNTED).one()
        return Depth(int(rows), max(0.0, float(age)))

    def purge(self, retention: int) -> int:
        """Drop some of the oldest rows that were published more than `retention` seconds ago; return how many."""
        with self._transaction() as run:
            if not run(_LOCK, key=self._key).scalar():
                return 0
            gone = run(_PURGE, namespace=self._namespace, retention=retention, rows=_PURGE_ROWS)
            return int(gone.rowcount)

    def kept(self, since: int) -> Iterator[Kept]:
        """Yield the rows published since a time (ms), oldest first."""
        after = 0
        while True:
            with self._transaction() as run:
                rows = run(_KEPT, namespace=self._namespace, after=after, since=since, rows=BATCH_ROWS).all()
            for _, event_id, body, at in rows:
                yield Kept(int(at), Entry(str(event_id), body.encode()))
            if not rows:
                return
            after = rows[-1][0]

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                # Not close(), which would first end the transaction on a connection that may be dead.
                connection.invalidate()
                connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., Any]]:
        sql = _library()
        try:
            if self._connection is None:
                self._connection = self._connect(sql)
            connection = self._connection
            with connection.begin():
                yield lambda statement, **values: connection.execute(text(statement), values)
        except sql.exc.SQLAlchemyError as error:
            self.close()
            raise OutboxUnavailable(reason(error)) from None

    def _connect(self, sql: Any) -> Any:
        if self._engine is None:
            url = sql.engine.make_url(self._url)
            if "+" not in url.drivername:
                # Kinto's default; SQLAlchemy's own changed with 2.1.
                url = url.set(drivername=f"postgresql+{'psycopg2' if find_spec('psycopg2') else 'psycopg'}")
            try:
                self._engine = sql.create_engine(
                    url,
                    # Not Kinto's pool: its connections are the requests', and must not be opened before a fork.
                    poolclass=sql.pool.NullPool,
                    # Under stricter levels the statement after the lock would see the table as before the lock.
                    isolation_level="READ COMMITTED",
                    connect_args={"connect_timeout": _CONNECT_SECONDS, **_KEEPALIVE},
                )
            except ImportError as error:
                raise _missing(error.name or "psycopg2") from None
        return self._engine.connect()


def _library() -> Any:
    try:
        # Only here: Kintos without PostgreSQL do not have it.
        import sqlalchemy
    except ImportError:
        raise _missing("sqlalchemy") from None
    return sqlalchemy


def too_old() -> str:
    """Say so where SQLAlchemy has not what we call: older Kintos do not say which one they want."""
    version: str = _library().__version__
    known = tuple(int(number) for number in version.split(".")[:2])
    return "" if known >= (1, 4) else f"SQLAlchemy {version} is too old, 1.4 or later is needed"


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"{name} is not installed, which Kinto's database needs: pip install 'sqlalchemy<3' psycopg2-binary"
    )


@functools.cache
def text(statement: str) -> Any:
    """Return a statement as SQLAlchemy wants it."""
    return _library().text(statement)


def reason(error: BaseException) -> str:
    """Name a fault in one line, without the statement: its values are records."""
    original = getattr(error, "orig", None)
    # The driver's further lines quote the statement. What is not the driver's may quote the URL.
    lines = str(original).strip().splitlines() if original is not None else []
    return f"{type(original or error).__name__}{': ' + lines[0][:300] if lines else ''}"
