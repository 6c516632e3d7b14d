"""Our part in Kinto's transaction: a data manager that takes captured events through the two-phase commit.

In: `Captured` events while the transaction is active. Out: entries in the outbox, prepared in the vote, committed
in the finish, gone after an abort; or, in Kinto's own database session, written just before the commit. Nothing of ours
fails a write: what goes wrong here is logged and counted. In strict mode it raises `HTTPServiceUnavailable` instead.
"""

import json
import logging
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pyramid.httpexceptions import HTTPServiceUnavailable

from kinto_notify import wire
from kinto_notify.errors import OutboxUnavailable
from kinto_notify.outbox.brief import brief, probes
from kinto_notify.outbox.capture import Captured, id_of, modified
from kinto_notify.outbox.process import WRITTEN
from kinto_notify.outbox.request import cut_off, stands
from kinto_notify.outbox.resource import container_uri, storage_parent
from kinto_notify.outbox.split import DEPTH, Entry, entries
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.survivors import Version, surviving

logger = logging.getLogger(__name__)

#: Sorts before `~sqlalchemy`: we vote before the database commits and finish after it.
SORT_KEY = "kinto-notify"
#: This many objects of a transaction are written down to ask storage about, should we die in the middle.
_PROBES = 8
_R = TypeVar("_R")


class TwoPhaseOutbox(Protocol[_R]):
    """Where entries wait; none of the four may raise, but for `prepare` where it is strict."""

    def prepare(self, entries: Sequence[Entry], probe: str, *, final: bool = False) -> _R:
        """Keep entries whose transaction is about to commit; `final`: nobody else has a say in that."""

    def commit(self, receipt: _R) -> None:
        """Let them go out."""

    def abort(self, receipt: _R) -> None:
        """Forget them."""

    def doubt(self, receipt: _R) -> None:
        """Let them go out, marked, where only a database could say whether they were committed, and it is away."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What our parts in all transactions have in common."""

    outbox: TwoPhaseOutbox[Any]
    storage: StorageView
    strict: bool = False
    #: `written`, where the outbox takes entries that are completed later.
    encode: Callable[[Captured], list[Entry]] = entries


#: An event, and its entries: None until it is known which changes are left.
_Event = tuple[Captured, list[Entry] | None]


class Joined:
    """The data manager of one transaction.

    `asks`: a part of it was rolled back, so that storage is asked what is left before anything is encoded.
    """

    __slots__ = (
        "_asks", "_done", "_events", "_over", "_receipts", "_terms", "_transaction", "_voted", "transaction_manager"
    )  # fmt: skip

    def __init__(self, terms: Terms, manager: Any, transaction: Any = None, *, asks: bool = False) -> None:
        self.transaction_manager = manager
        self._transaction = transaction
        self._terms = terms
        self._asks = asks
        self._events: list[_Event] = []
        self._receipts: list[Any] = []
        #: So many of the events are in the outbox.
        self._done = 0
        self._voted = False
        self._over = False

    def takes_part_in(self, transaction: Any) -> bool:
        """Tell whether this is our part in that transaction still: a savepoint from before we joined ends it."""
        return self._transaction is transaction

    def add(self, captured: Captured) -> None:
        """Take one more event of this transaction, as it is now: nothing that happens to its objects later shows."""
        if self._asks:
            impacted = json.loads(wire.encode(captured.impacted, DEPTH))
            self._events.append((captured._replace(impacted=impacted), None))
        else:
            self._events.append((captured, self._terms.encode(captured)))

    def drop_rolled_back(self) -> None:
        """Keep only what storage confirms. Called before the commit, when all events of the request are known."""
        compared = list(self._events)
        try:
            kept = survivors_of([captured for captured, _ in compared], self._terms.storage)
        except Exception:
            # Keeping all may tell of a change that was rolled back; dropping all would lose real ones.
            logger.exception("kinto-notify could not compare a batch with storage; all its changes are notified")
            return
        self._events[:] = [(left, made) for left, (_, made) in zip(kept, compared, strict=True)]

    def write_early(self) -> None:
        """Write the entries down while Kinto's session is open: one that wrote nothing ends before the vote."""
        self._write(final=False)

    # --- the protocol of `transaction` -------------------------------------------------------------------------

    def sortKey(self) -> str:  # noqa: N802 - the protocol's name
        """Return our place among the data managers."""
        return SORT_KEY

    def tpc_begin(self, transaction: Any) -> None:
        """Nothing to begin."""

    def commit(self, transaction: Any) -> None:
        """Nothing to write yet: the vote does."""

    def tpc_vote(self, transaction: Any) -> None:
        """Write the entries down as prepared; as committed where nobody but us has a vote."""
        self._voted = True
        # With Kinto's memory backend, say: what was written there stays whatever becomes of us.
        self._write(final=getattr(transaction, "_resources", None) == [self])

    def tpc_finish(self, transaction: Any) -> None:
        """Let the entries go out."""
        self._over = True
        self._let_go(self._terms.outbox.commit)

    def tpc_abort(self, transaction: Any) -> None:
        """Forget the entries: somebody else's vote or commit failed. Unless the change stands, or may.

        Called in the handler of what was raised.
        """
        if stands(transaction):
            self.tpc_finish(transaction)
            return
        self._over = True
        if cut_off(sys.exception()):
            self._let_go(self._terms.outbox.doubt)
        else:
            self._forget()

    def abort(self, transaction: Any) -> None:
        """Forget what was captured, if the vote has not been yet.

        `transaction` also calls this after a successful commit, when it has run the after-commit hooks.
        """
        if not self._voted and not self._over:
            self._over = True
            self._forget()

    def savepoint(self) -> "Savepoint":
        """Remember how far we are; without this no code in the request could use savepoints."""
        return Savepoint(self._events)

    # --- inside ------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._done = 0
        self._let_go(self._terms.outbox.abort)

    def _let_go(self, step: Callable[[Any], None]) -> None:
        self._events.clear()
        # Who asks for us holds us for longer than that should live.
        self._transaction = None
        if not self._receipts:
            return
        receipts, self._receipts = self._receipts, []
        for receipt in receipts:
            step(receipt)

    def _write(self, *, final: bool) -> None:
        """Write down what was captured since the last time."""
        new = self._events[self._done :]
        self._done = len(self._events)
        try:
            made: list[Entry] = []
            for captured, entries_of_it in new:
                made += self._terms.encode(captured) if entries_of_it is None else entries_of_it
            if made:
                probe = "" if final else self._probe(new)
                receipt = self._terms.outbox.prepare(made, probe, final=final)
                if receipt is not WRITTEN:
                    self._receipts.append(receipt)
        except OutboxUnavailable:
            # Raised in strict mode only, and logged where it was met.
            raise HTTPServiceUnavailable from None
        except Exception:
            logger.critical("kinto-notify lost %d event(s) in the vote", len(new), exc_info=True)
            if self._terms.strict:
                raise HTTPServiceUnavailable from None

    def _probe(self, events: Sequence[_Event]) -> str:
        """Write down what to ask storage to learn whether this transaction committed; an entry in brief says it."""
        if not self._terms.storage.outlives_process():
            return ""
        return json.dumps([probe for captured, _ in events for probe in probes(captured, _PROBES)][-_PROBES:])


class Savepoint:
    """Goes back to what was captured when it was made."""

    def __init__(self, events: list[_Event]) -> None:
        self._events = events
        self._length = len(events)

    def rollback(self) -> None:
        """Forget what was captured since."""
        del self._events[self._length :]


def written(captured: Captured) -> list[Entry]:
    """Return the entries of an event as they are written down: in brief, where that will do."""
    return brief(captured) or entries(captured)


def survivors_of(events: Sequence[Captured], storage: StorageView) -> list[Captured]:
    """Return the events with the changes that storage confirms in the current transaction."""
    places = [(str(e.payload.get("resource_name")), storage_parent(container_uri(e.payload))) for e in events]
    versions = [
        Version((*place, id_of(item)), modified(item, "new"), modified(item, "old"))
        for event, place in zip(events, places, strict=True)
        for item in event.impacted
    ]
    groups: dict[tuple[str, str], list[str]] = {}
    for event, place in zip(events, places, strict=True):
        groups.setdefault(place, []).extend(id_of(item) for item in event.impacted)
    now: dict[Hashable, int | None] = {}
    for place, ids in groups.items():
        for object_id, held in storage.last_modified(*place, ids).items():
            now[(*place, object_id)] = held
    alive = surviving(versions, now)
    kept: list[Captured] = []
    position = 0
    for event in events:
        left = [item for at, item in enumerate(event.impacted, position) if at in alive]
        kept.append(event._replace(impacted=left))
        position += len(event.impacted)
    return kept
