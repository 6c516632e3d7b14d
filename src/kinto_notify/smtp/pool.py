"""The smarthost as the courier sees it: a bounded pool of sessions, `send(envelope) -> Outcome`.

In: envelopes, one relay or several in the order of preference. Out: outcomes. A fault of the relay itself is not an
outcome but `RelayFault`; its circuit opens then, and the next relay is taken while there is one.
"""

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from kinto_notify.delivery import Envelope, Outcome
from kinto_notify.errors import ConfigError, RelayFault
from kinto_notify.smarthost import Relay, Tls
from kinto_notify.smtp.circuit import Circuit
from kinto_notify.smtp.outcome import Phase, RelayAtFault, Verdict
from kinto_notify.smtp.session import Session
from kinto_notify.smtp.shelf import Shelf
from kinto_notify.smtp.timeouts import Timeouts


class Pool:
    """At most `sessions` connections at once, over all relays, by one event loop. `ca` replaces the system's CAs."""

    def __init__(
        self,
        relays: tuple[Relay, ...],
        *,
        sessions: int,
        ca: Path | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        hostname: str | None = None,
    ) -> None:
        if not relays or sessions < 1:
            raise ConfigError("SMTP: at least one relay and one session are needed")
        self._relays = {relay: Circuit(timeouts.pause_least, timeouts.pause_most) for relay in relays}
        self._sessions = sessions
        self._timeouts = timeouts
        self._hostname = hostname
        self._tls = _tls_context(ca) if any(relay.tls is not Tls.CLEAR for relay in relays) else None
        #: How many connections the relay lets us have; below `sessions` after it refused one.
        self._limit = sessions
        self._limited_at = 0.0
        self._busy = 0
        self._closed = False
        self._all: set[Session] = set()
        self._shelf = Shelf(timeouts.idle, self._all.discard)
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def capacity(self) -> int:
        """The most messages that are ever on their way at once."""
        return self._sessions

    @property
    def free(self) -> int:
        """How many messages could be taken on now; 0 while no relay may be tried, 1 where one is on trial."""
        room = max(0, self._limit - self._busy)
        if self._closed or any(circuit.healthy for circuit in self._relays.values()):
            return 0 if self._closed else room
        now = time.monotonic()
        return min(room, sum(circuit.admits(now) for circuit in self._relays.values()))

    @property
    def fault(self) -> str | None:
        """The last fault, while nothing is known to work; holds no secret."""
        if any(circuit.healthy for circuit in self._relays.values()):
            return None
        return "; ".join(circuit.fault for circuit in self._relays.values() if circuit.fault)

    async def ready(self) -> None:
        """Return when a relay may be tried: at once while one is well, else when a circuit lets one attempt through."""
        while not self._closed:
            now = time.monotonic()
            if any(circuit.admits(now) for circuit in self._relays.values()):
                return
            # A circuit whose trial is running has no time of its own: the end of the trial wakes us.
            rests = [circuit.until - now for circuit in self._relays.values() if not circuit.trying]
            await self._woken(max(0.0, min(rests)) if rests else None)
        raise RelayFault("the pool is closed")

    async def send(self, envelope: Envelope, before_body: Callable[[], None] | None = None) -> Outcome:
        """Hand one message over; wait for a session if all are busy.

        `before_body` is called when the relay waits for the message, just before its bytes go out: what it raises
        ends the attempt, and nothing was sent. A cancellation before it was called means the same; one after it
        leaves open whether the relay has the message (`Deferred.ambiguous` says that of a lost reply). Raises
        `RelayFault` when the relay is at fault: the delivery is not, and costs no attempt.
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

        Raises `RelayFault` with the same lines, each with the phase and the reply, when one of them fails.
        """
        lines: list[str] = []
        failed = False
        for relay in self._relays:
            session = Session(relay, self._tls, await self._name(), self._timeouts)
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
            circuits = self._relays.values()
            if not any(circuit.healthy or circuit.trying for circuit in circuits):
                now = time.monotonic()
                if not any(circuit.admits(now) for circuit in circuits):
                    raise RelayFault(self.fault or "no relay may be tried now")
            await self._woken(None)

    def _leave(self) -> None:
        self._busy -= 1
        now = time.monotonic()
        if self._limit < self._sessions and now - self._limited_at >= self._timeouts.regrow:
            self._limit += 1
            self._limited_at = now
        self._wake()

    async def _woken(self, timeout: float | None) -> None:  # noqa: ASYNC109 - a pause, not an error
        """Wait until a slot or a circuit has changed, or the time is over."""
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
        """Make one attempt, over an idle session or a new one; None: wait for a session, no new one is to be had."""
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
        if isinstance(verdict, RelayAtFault):
            raise RelayFault(self._trip(session.relay, verdict, begun), throttled=verdict.throttled)
        return verdict

    async def _transact(self, session: Session, envelope: Envelope, before_body: Callable[[], None] | None) -> Verdict:
        circuit = self._relays[session.relay]
        try:
            with circuit.trial():
                verdict = await session.send(envelope, before_body)
        finally:
            self._put_by(session)
        if not isinstance(verdict, RelayAtFault) and verdict.reply.code:
            # Whatever it said of the message, it does its part. Silence would prove nothing.
            circuit.succeed()
        return verdict

    async def _opened(self, begun: float) -> Session | None:
        """Open a session at the first relay that lets us; None: none does now, but a session of ours may get free."""
        faults: list[str] = []
        name = await self._name()
        for relay, circuit in self._relays.items():
            if self._closed:
                raise RelayFault("the pool is closed")
            if not circuit.admits(time.monotonic()):
                continue
            session = Session(relay, self._tls, name, self._timeouts)
            self._all.add(session)
            try:
                with circuit.trial():
                    fault = await session.open()
            finally:
                if not session.connected:
                    self._all.discard(session)
            if fault is None:
                return session
            if self._at_limit(relay, fault):
                return None
            faults.append(self._trip(relay, fault, begun))
        if faults:
            raise RelayFault("; ".join(faults))
        return None

    def _at_limit(self, relay: Relay, fault: RelayAtFault) -> bool:
        """Tell whether the relay only refuses one connection *more*; remember then how many it lets us have."""
        if fault.reply.phase != Phase.GREETING or not 400 <= fault.reply.code <= 499:
            return False
        others = sum(session.greeted and session.relay == relay for session in self._all)
        if others:
            self._limit = min(self._limit, others)
            self._limited_at = time.monotonic()
        return others > 0

    def _trip(self, relay: Relay, fault: RelayAtFault, begun: float) -> str:
        """Open the relay's circuit, let its idle sessions go; return the fault as a person reads it."""
        text = f"{relay} {fault}"
        self._relays[relay].fail(time.monotonic(), begun, text, random.random())  # noqa: S311 - jitter
        self._shelf.drop(relay)
        self._wake()
        return text

    def _put_by(self, session: Session) -> None:
        """Keep a session for the next message if it still stands."""
        if self._closed or not session.connected:
            session.abort()
            self._all.discard(session)
        else:
            self._shelf.put(session)

    async def _name(self) -> str:
        """Return our host's full name, asked once: where the DNS is ill, asking takes long."""
        if self._hostname is None:
            try:
                async with asyncio.timeout(self._timeouts.connect):
                    self._hostname = await asyncio.to_thread(socket.getfqdn)
            except TimeoutError:
                self._hostname = ""
        return self._hostname


def _tls_context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        raise ConfigError(f"SMTP_CA: {ca} can't be used: {error.strerror or error}") from None
