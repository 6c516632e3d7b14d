"""The smarthost as the courier sees it: a bounded pool of sessions, `send(envelope) -> Outcome`.

In: envelopes, one relay or several in the order of preference. Out: outcomes. A fault of the relay itself is not an
outcome but `RelayFault`; its circuit opens then, and the next relay is taken while there is one.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from kinto_notify.delivery import Envelope, Outcome
from kinto_notify.errors import ConfigError, RelayFault
from kinto_notify.smarthost import Relay, Tls
from kinto_notify.smtp.lane import Lane
from kinto_notify.smtp.opening import tls_context
from kinto_notify.smtp.outcome import RelayAtFault, Verdict
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.session import Session
from kinto_notify.smtp.shelf import Shelf
from kinto_notify.smtp.timeouts import Timeouts


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
        self._busy = 0
        self._closed = False
        #: All that may count at a relay: those that open, work, rest, or say good-bye.
        self._all: set[Session] = set()
        self._shelf = Shelf(timeouts.idle, self._gone)
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def capacity(self) -> int:
        """The most messages that are ever on their way at once."""
        return self._sessions

    @property
    def free(self) -> int:
        """How many messages could be taken on now; 0 while no relay may be tried, 1 where one is on trial.

        It is as many as the first relay that is well grants: the others stand in for it, they do not carry its rest.
        """
        if self._closed:
            return 0
        now = time.monotonic()
        for lane in self._lanes.values():
            if lane.circuit.healthy:
                return max(0, lane.allowance.granted(now) - self._busy)
        return min(self._sessions - self._busy, sum(lane.circuit.admits(now) for lane in self._lanes.values()))

    @property
    def fault(self) -> str | None:
        """The last fault, while nothing is known to work; holds no secret."""
        circuits = [lane.circuit for lane in self._lanes.values()]
        if any(circuit.healthy for circuit in circuits):
            return None
        return "; ".join(circuit.fault for circuit in circuits if circuit.fault)

    def open_circuits(self) -> list[tuple[str, float, str]]:
        """Return the relays that are known to fail: since when (monotonic clock), and what the last fault was."""
        found = ((str(relay), lane.circuit) for relay, lane in self._lanes.items())
        return [(name, one.since, one.fault or "") for name, one in found if one.since is not None]

    async def ready(self) -> None:
        """Return when a relay may be tried: at once while one is well, else when a circuit lets one attempt through."""
        circuits = [lane.circuit for lane in self._lanes.values()]
        while not self._closed:
            now = time.monotonic()
            if any(circuit.admits(now) for circuit in circuits):
                return
            await self._woken(min(circuit.next_trial for circuit in circuits) - now)
        raise RelayFault("the pool is closed")

    async def send(self, envelope: Envelope, before_body: Callable[[], None] | None = None) -> Outcome:
        """Hand one message over; wait for a session if all are busy.

        `before_body` is called when the relay waits for the message, just before its bytes go out: what it raises
        ends the attempt, and nothing was sent. A cancellation before it was called means the same; one after it
        leaves open whether the relay has the message (`Deferred.ambiguous` says that of a lost reply). Raises
        `RelayFault` when no relay does its part: the delivery is not at fault, and it costs no attempt.
        """
        while True:
            await self._enter()
            try:
                outcome = await self._attempt(envelope, before_body)
            finally:
                self._leave()
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
        self._closed = True
        await self._shelf.close()
        for session in self._all:
            session.abort()
        self._all.clear()
        self._wake()
        # The transports tell their protocols in the next turns of the loop; a loop closed before that complains.
        for _ in range(3):
            await asyncio.sleep(0)

    # --- slots

    async def _enter(self) -> None:
        """Take a slot: wait while the sessions are busy, raise where no relay may be tried."""
        while True:
            if self._closed:
                raise RelayFault("the pool is closed")
            if self.free:
                self._busy += 1
                return
            circuits = [lane.circuit for lane in self._lanes.values()]
            if not any(circuit.healthy or circuit.trying for circuit in circuits):
                now = time.monotonic()
                if not any(circuit.admits(now) for circuit in circuits):
                    raise RelayFault(self.fault or "no relay may be tried now")
            await self._woken(None)

    def _leave(self) -> None:
        self._busy -= 1
        self._wake()

    def _gone(self, session: Session) -> None:
        self._all.discard(session)
        self._wake()

    async def _woken(self, timeout: float | None) -> None:  # noqa: ASYNC109 - a pause, not an error
        """Wait until a slot, a session or a circuit has changed, or the time is over."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait({future}, timeout=timeout)
        finally:
            self._waiting.discard(future)
            future.cancel()

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    # --- attempts

    async def _attempt(self, envelope: Envelope, before_body: Callable[[], None] | None) -> Outcome | None:
        """Make one attempt, over an idle session or a new one; None: enter again, for a session or another relay."""
        begun = time.monotonic()
        session = await self._shelf.take()
        if session is not None:
            verdict = await self._transact(session, envelope, before_body)
            if not isinstance(verdict, RelayAtFault):
                return verdict
            # It closed between two messages, as relays do: no fault before a new connection shows one too.
        session = await self._opened(begun)
        if session is None:
            return None
        verdict = await self._transact(session, envelope, before_body)
        if not isinstance(verdict, RelayAtFault):
            return verdict
        if not self._crowded(session.relay, verdict):
            self._trip(session.relay, verdict, begun)
            if self.fault is not None:
                raise RelayFault(self.fault, throttled=verdict.throttled)
        return None

    async def _transact(self, session: Session, envelope: Envelope, before_body: Callable[[], None] | None) -> Verdict:
        lane = self._lanes[session.relay]
        try:
            with lane.circuit.trial(time.monotonic(), self._timeouts.stall):
                verdict = lane.reviewed(await session.send(envelope, before_body), envelope.recipient)
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
                await self._woken(None)
                return None
            if self._closed:
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
        self._wake()
        return text

    def _put_by(self, session: Session) -> None:
        """Keep a session for the next message if it still stands."""
        if self._closed or not session.connected:
            session.abort()
            self._gone(session)
        else:
            self._shelf.put(session)
