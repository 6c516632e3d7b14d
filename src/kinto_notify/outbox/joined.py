"""Our part in Kinto's transaction: a data manager that takes captured events through the two-phase commit.

In: `Captured` events while the transaction is active. Out: entries in the outbox, prepared in the vote, committed
in the finish, gone after an abort; or, in Kinto's own database session, written just before the commit. Nothing of ours
fails a write: what goes wrong here is logged and counted. In strict mode it raises `HTTPServiceUnavailable` instead.
"""

import json
import logging
from collections.abc import Hashable, Sequence
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

from pyramid.httpexceptions import HTTPServiceUnavailable

from kinto_notify.errors import OutboxUnavailable
from kinto_notify.outbox.capture import Captured, Change
from kinto_notify.outbox.split import Entry, entries
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.survivors import Version, surviving

logger = logging.getLogger(__name__)

#: Sorts before `~sqlalchemy`: we vote before the database commits and finish after it.
SORT_KEY = "kinto-notify"
#: This many objects of a transaction are written down to ask storage about, should we die in the middle.
_PROBES = 8
_R = TypeVar("_R")


class TwoPhaseOutbox(Protocol[_R]):
    """Where entries wait; none of the three may raise, but for `prepare` where it is strict."""

    def prepare(self, entries: Sequence[Entry], probe: str) -> _R:
        """Keep entries whose transaction is about to commit."""

    def commit(self, receipt: _R) -> None:
        """Let them go out."""

    def abort(self, receipt: _R) -> None:
        """Forget them."""


class Joined:
    """The data manager of one transaction."""

    def __init__(
        self, outbox: TwoPhaseOutbox[Any], storage: StorageView, manager: Any, *, strict: bool = False
    ) -> None:
        self.transaction_manager = manager
        self._strict = strict
        self._outbox = outbox
        self._storage = storage
        self._captured: list[Captured] = []
        self._kept: list[Sequence[Change]] | None = None
        self._receipts: list[Any] = []
        #: So many of the captured events are written down.
        self._written = 0
        self._voted = False
        self._over = False

    def add(self, captured: Captured) -> None:
        """Take one more event of this transaction."""
        self._captured.append(captured)

    def drop_rolled_back(self) -> None:
        """Keep only what storage confirms. Called before the commit, when all events of the request are known."""
        try:
            self._kept = survivors_of(self._captured, self._storage)
        except Exception:
            # Keeping all may tell of a change that was rolled back; dropping all would lose real ones.
            logger.exception("kinto-notify could not compare a batch with storage; all its changes are notified")

    def write_early(self) -> None:
        """Write the entries down while Kinto's session is open: one that wrote nothing ends before the vote."""
        self._write()

    # --- the protocol of `transaction` -------------------------------------------------------------------------

    def sortKey(self) -> str:  # noqa: N802 - the protocol's name
        """Return our place among the data managers."""
        return SORT_KEY

    def tpc_begin(self, transaction: Any) -> None:
        """Nothing to begin."""

    def commit(self, transaction: Any) -> None:
        """Nothing to write yet: the vote does."""

    def tpc_vote(self, transaction: Any) -> None:
        """Write the entries down as prepared."""
        self._voted = True
        self._write()

    def tpc_finish(self, transaction: Any) -> None:
        """Let the entries go out."""
        self._over = True
        receipts, self._receipts = self._receipts, []
        for receipt in receipts:
            self._outbox.commit(receipt)

    def tpc_abort(self, transaction: Any) -> None:
        """Forget the entries: somebody else's vote or commit failed."""
        self._over = True
        self._forget()

    def abort(self, transaction: Any) -> None:
        """Forget what was captured, if the vote has not been yet.

        `transaction` also calls this after a successful commit, when it has run the after-commit hooks.
        """
        if not self._voted and not self._over:
            self._forget()

    def savepoint(self) -> "Savepoint":
        """Remember how far we are; without this no code in the request could use savepoints."""
        return Savepoint(self._captured)

    # --- inside ------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._captured.clear()
        self._written = 0
        receipts, self._receipts = self._receipts, []
        for receipt in receipts:
            self._outbox.abort(receipt)

    def _write(self) -> None:
        """Write down what was captured since the last time."""
        captured = self._captured[self._written :]
        kept: Sequence[Sequence[Change] | None] = (self._kept or [])[self._written :]
        self._written = len(self._captured)
        try:
            # What came after the comparison with storage was not compared, and stays.
            made = [e for event, left in zip_longest(captured, kept) for e in entries(event, left)]
            if made:
                probe = _probe(captured) if self._storage.outlives_process() else ""
                self._receipts.append(self._outbox.prepare(made, probe))
        except OutboxUnavailable:
            # Raised in strict mode only, and logged where it was met.
            raise HTTPServiceUnavailable from None
        except Exception:
            logger.critical("kinto-notify lost %d event(s) in the vote", len(captured), exc_info=True)
            if self._strict:
                raise HTTPServiceUnavailable from None


class Savepoint:
    """Goes back to what was captured when it was made."""

    def __init__(self, captured: list[Captured]) -> None:
        self._captured = captured
        self._length = len(captured)

    def rollback(self) -> None:
        """Forget what was captured since."""
        del self._captured[self._length :]


def survivors_of(events: Sequence[Captured], storage: StorageView) -> list[Sequence[Change]]:
    """Return, event by event, the changes that storage confirms in the current transaction."""
    versions = [
        Version((event.resource, event.parent, change.id), change.after, change.before)
        for event in events
        for change in event.changes
    ]
    groups: dict[tuple[str, str], list[str]] = {}
    for event in events:
        groups.setdefault((event.resource, event.parent), []).extend(change.id for change in event.changes)
    now: dict[Hashable, int | None] = {}
    for (resource, parent), ids in groups.items():
        for object_id, modified in storage.last_modified(resource, parent, ids).items():
            now[resource, parent, object_id] = modified
    alive = surviving(versions, now)
    kept: list[Sequence[Change]] = []
    position = 0
    for event in events:
        kept.append([change for at, change in enumerate(event.changes, position) if at in alive])
        position += len(event.changes)
    return kept


def _probe(events: Sequence[Captured]) -> str:
    """Write down what to ask storage to learn whether this transaction committed."""
    asked = [
        [event.resource, event.parent, change.id, change.after]
        for event in events
        for change in event.changes[:_PROBES]
        if change.after is not None
    ]
    return json.dumps(asked[-_PROBES:])
