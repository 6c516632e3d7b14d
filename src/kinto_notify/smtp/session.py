"""One SMTP connection: opened, used for one transaction at a time, and closed at the first doubt.

In: a relay, messages. Out: verdicts (`outcome.Verdict`); nothing the relay or the network does raises. A cancelled
or vetoed transaction raises and leaves the session closed: half a transaction never meets the next message, except
where that one was announced behind it (RFC 2920 3.1), and then it is told so.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

from aiosmtplib import SMTP, SMTPException, SMTPResponse

from kinto_notify.smarthost import Relay
from kinto_notify.smtp.commands import Command, joined, transaction, unfit
from kinto_notify.smtp.handover import BLOCK, hand_over
from kinto_notify.smtp.line import Line
from kinto_notify.smtp.opening import client, connected_socket, negotiate, told
from kinto_notify.smtp.outcome import Phase, RelayAtFault, Verdict, in_step, judge, proceeds
from kinto_notify.smtp.pipeline import account, one_by_one
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.timeouts import Timeouts
from kinto_notify.smtp.turns import Turn
from kinto_notify.smtp.wire import on_the_wire

#: Many relays close after this many messages by themselves (a hundred is the common setting).
MESSAGES_PER_SESSION = 100
#: Refused messages after which we take a new session; Postfix slows a session down after ten replies 4xx and 5xx, and
#: in a pipeline a refused recipient has two.
ERRORS_PER_SESSION = 5
#: Behind a longer message none is announced: both are to leave in one block.
_MOST_BEFORE_ANOTHER = BLOCK - 2_048


class Session:
    """A connection to `relay`; `open` it once, `send` while `usable`, then `quit` or `abort`."""

    def __init__(self, relay: Relay, tls: ssl.SSLContext | None, resolver: Resolver, timeouts: Timeouts) -> None:
        self.relay = relay
        self.messages = 0
        #: When it was put by (monotonic seconds); the pool's note.
        self.idle_since = 0.0
        #: Whose message is announced behind the one under way.
        self.follower: Turn | None = None
        self._tls = tls
        self._resolver = resolver
        self._timeouts = timeouts
        # A relay that takes no announcement behind a dot may just be silent.
        self._timeouts_ahead = replace(timeouts, mail=min(timeouts.mail, timeouts.stall))
        self._phase = Phase.CONNECT
        self._opened = time.monotonic()
        self._errors = 0
        self._dirty = False
        self._smtp: SMTP | None = None
        self._line: Line | None = None
        self._offers: dict[str, str] = {}
        #: What was announced and has no reply yet.
        self._announced: list[Command] = []
        # What is announced has lost its caller: the relay must not wait for a message that does not come.
        self._forsaken = False

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as the kernel has told us."""
        return self._line is not None and self._line.standing

    @property
    def usable(self) -> bool:
        """Whether the next message may go over this session."""
        return (
            self._line is not None
            and self._line.standing
            and self._line.silent
            and self.messages < MESSAGES_PER_SESSION
            and self._errors < ERRORS_PER_SESSION
            and time.monotonic() - self._opened < self._timeouts.lifetime
        )

    @property
    def pipelines(self) -> bool:
        """Whether the relay takes commands together."""
        return "pipelining" in self._offers

    async def open(self) -> RelayAtFault | None:
        """Connect, negotiate TLS, say EHLO, log in; return what went wrong, with the session closed, or None."""
        try:
            verdict = await self._judged(self._open())
        except BaseException:
            self.abort()
            raise
        assert verdict is None or isinstance(verdict, RelayAtFault), verdict
        return verdict

    async def _open(self) -> None:
        self._at(Phase.CONNECT)
        link, name = await connected_socket(self.relay, self._resolver, self._timeouts.connect)
        self._smtp = client(self.relay, link, self._tls, name)
        await negotiate(self._smtp, self.relay, self._timeouts, self._at)
        if self._smtp.transport is None:
            raise ConnectionError("the connection was closed")
        self._offers = self._smtp.esmtp_extensions
        self._line = Line(self._smtp.transport)

    def _at(self, phase: Phase) -> None:
        self._phase = phase

    def fits(self, turn: Turn) -> bool:
        """Tell whether the relay could take this message."""
        return unfit(turn.envelope, self._offers) is None

    async def send(
        self, turn: Turn, following: Callable[["Session"], Turn | None], stalled: Callable[["Session"], None]
    ) -> Verdict:
        """Hand over one message; see `Pool.send` for what it asks before.

        `following` is asked for one to announce behind it, when its bytes are about to leave. That one is kept in
        `follower` until this one has its verdict; then the session is its own, if it stands. `stalled` is called
        where it should not wait so long.
        """
        try:
            verdict = await self._judged(self._announce(turn))
            if verdict is None:
                if turn.before_body is not None:
                    turn.before_body()
                verdict = await self._judged(self._hand_over(turn.envelope.message, following, stalled))
        except BaseException:
            self.abort()
            raise
        assert verdict is not None, "every dot has a verdict"
        line = self._line
        # What was said and not asked for would be taken for the answer to a later command.
        if line is not None and (self._forsaken or not (self._announced or line.silent)):
            self.abort()
        return verdict

    def forsake(self) -> Turn | None:
        """Let go of who is announced behind the message under way; the session ends with that."""
        follower, self.follower = self.follower, None
        self._forsaken = True
        return follower

    async def _announce(self, turn: Turn) -> Verdict | None:
        """RSET if needed, MAIL, RCPT, DATA; return a verdict unless the relay now waits for the message."""
        if not self._announced and (refused := unfit(turn.envelope, self._offers)) is not None:
            return refused
        self._at(Phase.MAIL)
        line = self._standing_line()
        self.messages += 1
        commands, self._announced = self._announced, []
        written = bool(commands)
        if not written:
            commands = transaction(turn.envelope, self._offers, self._timeouts, reset=self._dirty)
            if not line.silent:
                raise ConnectionError("the relay said what nobody asked for")
        if not self.pipelines:
            ended = await one_by_one(line, commands, self._at)
        else:
            if not written:
                line.write(joined(commands))
            ended = await account(line, commands, self._at)
        self._dirty = False
        if ended is not None:
            verdict = self._concluded(ended.reply)
            if not ended.settled:
                self.abort()
            return verdict
        if not line.silent:
            # It does not wait for the message, or no longer.
            self._at(Phase.BODY)
            raise ConnectionError("the relay said more than it was asked")
        return None

    def _standing_line(self) -> Line:
        if self._line is None:
            raise ConnectionError("the connection was closed")
        return self._line

    async def _hand_over(
        self, message: bytes, following: Callable[["Session"], Turn | None], stalled: Callable[["Session"], None]
    ) -> Verdict:
        """Send the message, its dot and perhaps the next announcement; return the verdict on the message."""
        self._at(Phase.BODY)
        line = self._standing_line()
        data = on_the_wire(message)
        if self.pipelines and len(data) <= _MOST_BEFORE_ANOTHER and self.usable:
            self.follower = following(self)
        if self.follower is None:
            return self._concluded(await hand_over(line, data, self._timeouts, self._at))
        self._announced = transaction(self.follower.envelope, self._offers, self._timeouts_ahead, reset=False)
        data += joined(self._announced)
        return self._concluded(await hand_over(line, data, self._timeouts, self._at, lambda: stalled(self)))

    def _concluded(self, response: SMTPResponse) -> Verdict:
        """Judge the reply that ends a transaction, and decide what the session is good for afterwards."""
        if self._phase is Phase.DOT and proceeds(Phase.DOT, response.code):
            pass
        elif in_step(response.code) and self._phase is not Phase.BODY:
            self._errors += 1
            # After the dot the relay has cleared its buffers by itself.
            self._dirty = self._phase is not Phase.DOT
        else:
            self.abort()
        return judge(self._phase, response.code, response.message)

    async def _judged(self, step: Awaitable[Verdict | None]) -> Verdict | None:
        """Turn whatever the network or the relay does to a step into a verdict; the session is closed then."""
        try:
            return await step
        except (SMTPException, OSError) as error:
            self.abort()
            return judge(*told(error, self._phase))

    async def quit(self) -> None:
        """Say good-bye and close; raises nothing but a cancellation."""
        try:
            if self._line is not None:
                with contextlib.suppress(SMTPException, OSError):
                    self._line.write(b"QUIT\r\n")
                    await self._line.next(self._timeouts.quit)
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; what is still buffered is thrown away."""
        line, self._line = self._line, None
        smtp, self._smtp = self._smtp, None
        if line is not None:
            line.close()
        if smtp is not None:
            if smtp.transport is not None:
                # aiosmtplib closes in peace, and TLS then waits half a minute for the other side.
                cast(asyncio.WriteTransport, smtp.transport).abort()
            smtp.close()

    def describe(self) -> str:
        """Say in a line what was negotiated."""
        smtp = self._smtp
        if smtp is None or not smtp.is_connected:
            return f"{self.relay}: closed"
        tls = smtp.get_transport_info("ssl_object")
        parts = [tls.version() if tls is not None else "in clear"]
        if self.relay.username is not None:
            parts.append("logged in")
        names = [name for name in ("size", "pipelining", "8bitmime", "smtputf8") if smtp.supports_extension(name)]
        parts += [f"{name.upper()} {smtp.esmtp_extensions[name]}".strip() for name in names]
        return f"{self.relay}: " + ", ".join(parts)
