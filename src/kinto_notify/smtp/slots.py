"""Who may work now: at most so many at once, in the order in which they came, and none while no relay may be tried.

In: turns, and the state of the lanes. Out: slots, and for a session that is about to send a message the next one to
announce behind it. Fails with `RelayFault` for all who wait in vain.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from kinto_notify.errors import NoSession, RelayFault
from kinto_notify.smarthost import Relay
from kinto_notify.smtp.lane import Lane
from kinto_notify.smtp.session import Session
from kinto_notify.smtp.timeouts import Timeouts
from kinto_notify.smtp.turns import Turn, Turns

#: How many messages a session may have in hand where a relay takes them together: one on its way, one announced behind
#: it, one that waits to be announced behind that, since it is wanted in the very moment in which the first is done; and
#: one more, so that those who bring them may bring as many at once as there are sessions.
DEPTH = 4


class Slots:
    """The slots of a pool. `changed` is to be called whenever a lane or a session has changed.

    A session that ends here is told to `gone`.
    """

    def __init__(
        self, lanes: Mapping[Relay, Lane], sessions: int, timeouts: Timeouts, gone: Callable[[Session], None]
    ) -> None:
        self._lanes = lanes
        self._gone = gone
        self._most = sessions
        self._stall = timeouts.stall
        #: How many slots are taken.
        self.busy = 0
        self._turns = Turns()
        self._watchers: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False

    @property
    def free(self) -> int:
        """How many messages could be taken on now; see `Pool.free`."""
        if self.closed:
            return 0
        now = time.monotonic()
        lane = self._first_healthy()
        if lane is not None:
            return max(0, lane.allowance.granted(now) - self.busy)
        return min(self._most - self.busy, sum(lane.circuit.admits(now) for lane in self._lanes.values()))

    def room(self, busy: int) -> int:
        """How many more messages a caller may bring who has `busy` under way; see `Pool.room`."""
        now = time.monotonic()
        lane = self._first_healthy()
        if self.closed or lane is None or not lane.looks_ahead(now):
            return max(0, min(self.free, self._most - busy))
        granted = lane.allowance.granted(now)
        room = DEPTH * granted - busy
        # Many at once: to ask Redis for one costs nearly as much as to ask for ten.
        return room if room >= max(granted, 2) else 0

    @property
    def fault(self) -> str | None:
        """The last fault, while nothing is known to work."""
        if self._first_healthy() is not None:
            return None
        return "; ".join(lane.circuit.fault for lane in self._lanes.values() if lane.circuit.fault)

    def _first_healthy(self) -> Lane | None:
        for lane in self._lanes.values():
            if lane.circuit.healthy:
                return lane
        return None

    # --- to enter and to leave

    async def enter(self, turn: Turn) -> Session | None:
        """Return with a slot taken, and with the session on which the message is announced already, if one has done so.

        Raises `RelayFault` where no relay may be tried, `NoSession` where it takes too long for who is impatient.
        """
        self._admit()
        if self._turns.first is None and self.free:
            self.busy += 1
            turn.begun = True
            return None
        if (told := self._in_vain()) is not None:
            raise RelayFault(told)
        granted = self._turns.join(turn, time.monotonic())
        self._watch_the_clock()
        try:
            session = await granted
        except BaseException:
            self._withdraw(turn, granted)
            raise
        turn.begun = True
        return session

    def _withdraw(self, turn: Turn, granted: "asyncio.Future[Session | None]") -> None:
        """Undo what a caller has who was cancelled while it waited."""
        if turn.behind is not None:
            turn.behind.forsake()
            turn.behind = None
        elif granted.done() and not granted.cancelled() and granted.exception() is None:
            # The slot came in the very turn of the loop in which the caller went.
            if (session := granted.result()) is not None:
                session.abort()
                self._gone(session)
            self.leave()

    def leave(self) -> None:
        """Give a slot back."""
        self.busy -= 1
        self.changed()

    def pass_on(self, session: Session, turn: Turn) -> None:
        """Give a session to the one whose message is announced there, with a slot of its own."""
        self.busy += 1
        turn.grant(session)

    def give_back(self, turn: Turn) -> None:
        """Let one wait again, as the first."""
        self._turns.give_back(turn)
        self._watch_the_clock()
        self._admit()

    def changed(self) -> None:
        """Look anew who may work, and wake all who watch."""
        self._admit()
        for future in self._watchers:
            if not future.done():
                future.set_result(None)

    def _admit(self) -> None:
        while (turn := self._turns.first) is not None and self.free:
            self._turns.take()
            self.busy += 1
            turn.grant(None)
        if turn is not None and (told := self._in_vain()) is not None:
            for turn in self._turns:
                turn.fail(RelayFault(told))

    def _in_vain(self) -> str | None:
        """Say why waiting leads to nothing; None: it may."""
        if self.closed:
            return "the pool is closed"
        if self._first_healthy() is not None:
            return None
        circuits = [lane.circuit for lane in self._lanes.values()]
        if any(circuit.trying for circuit in circuits):
            return None
        now = time.monotonic()
        return None if any(circuit.admits(now) for circuit in circuits) else self.fault or "no relay may be tried now"

    def close(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.changed()

    # --- the clock

    def _watch_the_clock(self) -> None:
        if self._timer is None and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(self._stall, self._look)

    def _look(self) -> None:
        """Find what changes with time alone: a slow start grants more, and who is impatient has waited long enough."""
        self._timer = None
        self._admit()
        overdue = time.monotonic() - self._stall
        for turn in self._turns:
            if turn.impatient and turn.since < overdue:
                turn.fail(NoSession())
        if self._turns:
            self._watch_the_clock()

    async def woken(self, timeout: float | None) -> None:  # noqa: ASYNC109 - a pause, not an error
        """Wait until a slot, a session or a circuit has changed, or the time is over."""
        future = asyncio.get_running_loop().create_future()
        self._watchers.add(future)
        try:
            await asyncio.wait({future}, timeout=timeout)
        finally:
            self._watchers.discard(future)
            future.cancel()

    async def ready(self) -> None:
        """Return when a relay may be tried; see `Pool.ready`."""
        circuits = [lane.circuit for lane in self._lanes.values()]
        while not self.closed:
            now = time.monotonic()
            if any(circuit.admits(now) for circuit in circuits):
                return
            await self.woken(min(circuit.next_trial for circuit in circuits) - now)
        raise RelayFault("the pool is closed")

    # --- to announce the next one

    def follower(self, session: Session) -> Turn | None:
        """Take out of the queue whom `session` may announce behind the message that it is about to send."""
        turn = self._turns.first
        if turn is None:
            return None
        now = time.monotonic()
        lane = self._lanes[session.relay]
        # Where there are too many sessions this one is to end, or to rest.
        crowded = lane.allowance.granted(now) < self.busy
        if crowded or not lane.circuit.healthy or not lane.foresight.trusted(now):
            return None
        while turn is not None:
            if not session.fits(turn):
                return None
            self._turns.take()
            try:
                if turn.before_mail is not None:
                    turn.before_mail()
            except Exception as veto:  # noqa: BLE001 - it is the caller's own, and goes to the caller
                turn.fail(veto)
                turn = self._turns.first
                continue
            turn.behind = session
            return turn
        return None

    def stalled(self, session: Session) -> None:
        """Free whom `session` has announced behind a message that takes too long: another session may be sooner."""
        turn = session.forsake()
        self._lanes[session.relay].foresight.failed(time.monotonic())
        if turn is not None:
            self.give_back(turn)
