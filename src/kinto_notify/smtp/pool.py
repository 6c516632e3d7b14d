"""The smarthost as the courier sees it: a bounded pool of sessions, `send(envelope) -> Outcome`.

In: envelopes, one relay or several in the order of preference. Out: outcomes. A fault of the relay itself is not an
outcome but `RelayFault`; its circuit opens then, and the next relay is taken while there is one.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from kinto_notify.delivery import Deferred, Envelope, Outcome
from kinto_notify.errors import ConfigError, RelayFault
from kinto_notify.smarthost import Relay, Tls
from kinto_notify.smtp.lane import Lane
from kinto_notify.smtp.opening import tls_context
from kinto_notify.smtp.outcome import Phase, RelayAtFault, Verdict
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.session import Session
from kinto_notify.smtp.shelf import Shelf
from kinto_notify.smtp.slots import Slots
from kinto_notify.smtp.timeouts import Timeouts
from kinto_notify.smtp.turns import Turn


class Pool:
    """At most `sessions` connections at once, over all relays and phases. `ca` replaces the system's CAs."""

    def __init__(
        self,
        relays: tuple[Relay, ...],
        *,
        sessions: int,
        ca: Path | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        resolver: Resolver | None = None,
    ) -> None:
        if not relays or sessions < 1:
            raise ConfigError("SMTP: at least one relay and one session are needed")
        self._lanes = {relay: Lane(relay, sessions, timeouts) for relay in relays}
        self._sessions = sessions
        self._timeouts = timeouts
        self._resolver = resolver or Resolver()
        self._tls = tls_context(ca) if any(relay.tls is not Tls.CLEAR for relay in relays) else None
        self._slots = Slots(self._lanes, sessions, timeouts, self._gone)
        #: Called where there may be more `room` though nothing has ended: a relay turns out to take messages together.
        self.roomier: Callable[[], None] = lambda: None
        #: All that may count at a relay: those that open, work, rest, or say good-bye.
        self._all: set[Session] = set()
        self._shelf = Shelf(timeouts.idle, self._gone)

    @property
    def busy(self) -> int:
        """How many sessions are at work, those that still open among them."""
        return self._slots.busy

    @property
    def free(self) -> int:
        """How many messages could be taken on now; 0 while no relay may be tried, 1 where one is on trial.

        It is as many as the first relay that is well grants: the others stand in for it, they do not carry its rest.
        """
        return self._slots.free

    def room(self, busy: int) -> int:
        """How many messages more a caller may bring who has `busy` under way: as many as are free.

        Where the relay takes them together and answers promptly it is more than that: a message that waits is
        announced behind the one before it, and costs no round trip of its own.
        """
        return self._slots.room(busy)

    @property
    def fault(self) -> str | None:
        """The last fault, while nothing is known to work; holds no secret."""
        return self._slots.fault

    def open_circuits(self) -> list[tuple[str, float, str]]:
        """Return the relays that are known to fail: since when (monotonic clock), and what the last fault was."""
        found = ((str(relay), lane.circuit) for relay, lane in self._lanes.items())
        return [(name, one.since, one.fault or "") for name, one in found if one.since is not None]

    async def ready(self) -> None:
        """Return when a relay may be tried: at once while one is well, else when a circuit lets one attempt through."""
        await self._slots.ready()

    async def send(
        self,
        envelope: Envelope,
        before_body: Callable[[], None] | None = None,
        *,
        before_mail: Callable[[], None] | None = None,
        impatient: bool = False,
    ) -> Outcome:
        """Hand one message over; wait for a session if all are busy.

        `before_body` is called when the relay waits for the message, just before its bytes go out: what it raises
        ends the attempt, and nothing was sent. A cancellation before it was called means the same; one after it
        leaves open whether the relay has the message (`Deferred.ambiguous` says that of a lost reply). `before_mail`
        is called before the relay hears of the message; what it raises ends the attempt, and costs no session.

        Raises `RelayFault` when no relay does its part: the delivery is not at fault, and it costs no attempt; and
        `NoSession` where an `impatient` one has waited `Timeouts.stall` for a session.
        """
        turn = Turn(envelope, before_mail, before_body, impatient=impatient)
        while True:
            session = await self._slots.enter(turn)
            try:
                outcome = await self._attempt(turn, session)
            finally:
                self._slots.leave()
            if outcome is not None:
                return outcome

    async def probe(self) -> str:
        """Connect, protect, greet, log in and quit, at every relay; say what was found, a line for each.

        Raises `RelayFault` with the same lines, each with the phase and the reply, when one of them fails. Its
        sessions are beside the pool's: it is for a person who asks.
        """
        lines: list[str] = []
        failed = False
        for relay in self._lanes:
            session = Session(relay, self._tls, self._resolver, self._timeouts)
            fault = await session.open()
            failed = failed or fault is not None
            lines.append(session.describe() if fault is None else f"{relay}: {fault}")
            await session.quit()
        if failed:
            raise RelayFault("\n".join(lines))
        return "\n".join(lines)

    async def close(self) -> None:
        """Close every session: idle ones with QUIT, busy ones at once, which ends their `send`."""
        self._slots.closed = True
        await self._shelf.close()
        for session in self._all:
            session.abort()
        self._all.clear()
        self._slots.close()
        # The transports tell their protocols in the next turns of the loop; a loop closed before that complains.
        for _ in range(3):
            await asyncio.sleep(0)

    def _gone(self, session: Session) -> None:
        self._all.discard(session)
        self._slots.changed()

    # --- attempts

    async def _attempt(self, turn: Turn, session: Session | None) -> Outcome | None:
        """Make one attempt, over `session` if the message is announced there, else over an idle one or a new one.

        None: enter again, for a session or another relay.
        """
        begun = time.monotonic()
        ahead = session is not None
        if session is None:
            if turn.before_mail is not None:
                turn.before_mail()
            session = await self._shelf.take()
        if session is not None:
            verdict = await self._transact(session, turn)
            again = isinstance(verdict, RelayAtFault) or (ahead and _says_nothing(session, verdict))
            if ahead:
                self._lanes[session.relay].foresaw(time.monotonic(), in_vain=again)
            if not again:
                assert not isinstance(verdict, RelayAtFault)
                return verdict
            # It closed between two messages, as relays do: no fault before a new connection shows one too.
        session = await self._opened(begun)
        if session is None:
            return None
        verdict = await self._transact(session, turn)
        if not isinstance(verdict, RelayAtFault):
            return verdict
        if not self._crowded(session.relay, verdict):
            self._trip(session.relay, verdict, begun)
            if self.fault is not None:
                raise RelayFault(self.fault, throttled=verdict.throttled)
        return None

    async def _transact(self, session: Session, turn: Turn) -> Verdict:
        lane = self._lanes[session.relay]
        try:
            with lane.circuit.trial(time.monotonic(), self._timeouts.stall):
                told = await session.send(turn, self._slots.follower, self._slots.stalled)
                verdict = lane.reviewed(told, turn.envelope.recipient)
            if isinstance(verdict, RelayAtFault):
                # Also where it would let us stay: whoever tries again does so over a new connection, not beside this.
                session.abort()
        finally:
            self._put_by(session)
        lane.worked(verdict, time.monotonic())
        return verdict

    async def _opened(self, begun: float) -> Session | None:
        """Open a session at the first relay that lets us; None: none does now, but a session of ours may get free."""
        faults: list[str] = []
        for relay, lane in self._lanes.items():
            if len(self._all) >= self._sessions:
                # One still says good-bye.
                await self._slots.woken(None)
                return None
            if self._slots.closed:
                raise RelayFault("the pool is closed")
            if not lane.circuit.admits(time.monotonic()):
                continue
            session = Session(relay, self._tls, self._resolver, self._timeouts)
            self._all.add(session)
            try:
                with lane.circuit.trial(time.monotonic(), self._timeouts.pause_most):
                    fault = await session.open()
            finally:
                if not session.connected:
                    self._all.discard(session)
            if fault is None:
                lane.opened(time.monotonic(), pipelines=session.pipelines)
                self.roomier()
                return session
            if self._crowded(relay, fault):
                return None
            faults.append(self._trip(relay, fault, begun))
        if faults:
            raise RelayFault("; ".join(faults))
        return None

    def _crowded(self, relay: Relay, fault: RelayAtFault) -> bool:
        """Tell whether the relay only refuses one session more than it lets us have."""
        # Those that still open count too: each of them that is refused says so itself.
        others = sum(session.relay == relay for session in self._all)
        return self._lanes[relay].crowded(fault, others, time.monotonic())

    def _trip(self, relay: Relay, fault: RelayAtFault, begun: float) -> str:
        """Open the relay's circuit, let its idle sessions go; return the fault as a person reads it."""
        text = self._lanes[relay].trip(fault, begun, time.monotonic())
        self._shelf.drop(relay)
        self._slots.changed()
        return text

    def _put_by(self, session: Session) -> None:
        """Give a session to whom it has announced, or keep it for the next message, if it still stands."""
        follower, session.follower = session.follower, None
        if self._slots.closed or not session.connected or (follower is not None and not follower.open):
            session.abort()
            if follower is not None:
                self._slots.give_back(follower)
            self._gone(session)
        elif follower is not None:
            self._slots.pass_on(session, follower)
        else:
            self._shelf.put(session)


def _says_nothing(session: Session, verdict: Verdict) -> bool:
    """Tell whether an announced message had no answer to itself: the next attempt, alone, will have one."""
    lost = not session.connected and isinstance(verdict, Deferred)
    return lost and verdict.reply.phase not in (Phase.BODY, Phase.DOT)
