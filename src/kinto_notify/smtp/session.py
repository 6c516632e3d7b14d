"""One SMTP connection: opened, used for one transaction at a time, and closed at the first doubt.

In: a relay, envelopes. Out: verdicts (`outcome.Verdict`); nothing the relay or the network does raises. A cancelled
or vetoed transaction raises and leaves the session closed: half a transaction never meets the next message.
"""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import cast

from aiosmtplib import SMTP, SMTPException, SMTPResponse

from kinto_notify.delivery import Envelope, Refused, Reply
from kinto_notify.smarthost import Relay
from kinto_notify.smtp.handover import hand_over
from kinto_notify.smtp.opening import client, connected_socket, negotiate, told
from kinto_notify.smtp.outcome import Phase, RelayAtFault, Verdict, in_step, judge, proceeds, refusal
from kinto_notify.smtp.pipeline import Command, Ended, announce
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.timeouts import Timeouts
from kinto_notify.smtp.wire import on_the_wire

#: Many relays close after this many messages by themselves (a hundred is the common setting).
MESSAGES_PER_SESSION = 100
#: Refused messages after which we take a new session; Postfix slows a session down after ten replies 4xx and 5xx, and
#: in a pipeline a refused recipient has two.
ERRORS_PER_SESSION = 5

_MAX_SIZE_DIGITS = 20

# Addresses were parsed long before; this is the last lock before the wire.
_UNSAFE = re.compile(r"[\x00-\x20<>\x7f]")


class Session:
    """A connection to `relay`; `open` it once, `send` while `usable`, then `quit` or `abort`."""

    def __init__(self, relay: Relay, tls: ssl.SSLContext | None, resolver: Resolver, timeouts: Timeouts) -> None:
        self.relay = relay
        self.messages = 0
        #: When it was put by (monotonic seconds); the pool's note.
        self.idle_since = 0.0
        self._tls = tls
        self._resolver = resolver
        self._timeouts = timeouts
        self._phase = Phase.CONNECT
        self._opened = time.monotonic()
        self._errors = 0
        self._dirty = False
        self._smtp: SMTP | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as the kernel has told us."""
        return self._smtp is not None and self._smtp.is_connected

    @property
    def usable(self) -> bool:
        """Whether the next message may go over this session."""
        return (
            self.connected
            and self.messages < MESSAGES_PER_SESSION
            and self._errors < ERRORS_PER_SESSION
            and time.monotonic() - self._opened < self._timeouts.lifetime
        )

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

    def _at(self, phase: Phase) -> None:
        self._phase = phase

    async def send(self, envelope: Envelope, before_body: Callable[[], None] | None = None) -> Verdict:
        """Hand over one message; see `Pool.send` for `before_body`."""
        try:
            verdict = self._unfit(envelope) or await self._judged(self._announce(envelope))
            if verdict is None:
                if before_body is not None:
                    before_body()
                verdict = await self._judged(self._hand_over(envelope.message))
        except BaseException:
            self.abort()
            raise
        assert verdict is not None, "every dot has a verdict"
        return verdict

    def _unfit(self, envelope: Envelope) -> Refused | None:
        """Say what this relay could never take, before it is asked."""
        offers = self._offers()
        size, limit = len(envelope.message), offers.get("size", "")
        if _UNSAFE.search(envelope.sender + envelope.recipient):
            return _refusal(553, "5.1.3 the address is not fit for the wire")
        if envelope.smtputf8 and "smtputf8" not in offers:
            return _refusal(550, "5.6.7 the relay does not take internationalised addresses (SMTPUTF8)")
        if not envelope.smtputf8 and not (envelope.sender + envelope.recipient).isascii():
            return _refusal(553, "5.6.7 the address is not ASCII, and its envelope does not ask for SMTPUTF8")
        if "8bitmime" not in offers and not envelope.message.isascii():
            return _refusal(554, "5.6.3 the message is 8-bit, and the relay takes 7-bit only")
        # A limit of 0 is none (RFC 1870 4), and RFC 1870 3 allows 20 digits: Python would refuse to read thousands.
        if limit.isdecimal() and len(limit) <= _MAX_SIZE_DIGITS and 0 < int(limit) < size:
            return _refusal(552, f"5.3.4 the relay takes {limit} bytes, the message has {size}")
        return None

    def _offers(self) -> dict[str, str]:
        return self._smtp.esmtp_extensions if self._smtp is not None else {}

    async def _announce(self, envelope: Envelope) -> Verdict | None:
        """RSET if needed, MAIL, RCPT, DATA; return a verdict unless the relay now waits for the message."""
        smtp, transport = self._smtp, self._smtp.transport if self._smtp is not None else None
        if smtp is None or transport is None:
            raise ConnectionError("the connection was closed")
        self.messages += 1
        commands = self._commands(envelope)
        if "pipelining" in smtp.esmtp_extensions:
            ended = await announce(cast(asyncio.WriteTransport, transport), commands, self._at)
        else:
            ended = await self._one_by_one(smtp, commands)
        self._dirty = False
        if ended is None:
            return None
        verdict = self._concluded(ended.reply)
        if not ended.settled:
            self.abort()
        return verdict

    def _commands(self, envelope: Envelope) -> list[Command]:
        limits, offers = self._timeouts, self._offers()
        sender = b"MAIL FROM:<%s>" % envelope.sender.encode()
        if "size" in offers:
            sender += b" SIZE=%d" % len(envelope.message)
        if "8bitmime" in offers and not envelope.message.isascii():
            sender += b" BODY=8BITMIME"
        if envelope.smtputf8:
            sender += b" SMTPUTF8"
        reset = [Command(Phase.RSET, limits.mail, b"RSET")] if self._dirty else []
        return [
            *reset,
            Command(Phase.MAIL, limits.mail, sender),
            Command(Phase.RCPT, limits.rcpt, b"RCPT TO:<%s>" % envelope.recipient.encode()),
            Command(Phase.DATA, limits.data, b"DATA"),
        ]

    async def _one_by_one(self, smtp: SMTP, commands: list[Command]) -> Ended | None:
        """Ask a relay that takes no second command before it has answered the first."""
        for command in commands:
            self._phase = command.phase
            # aiosmtplib's mail() and rcpt() would parse the addresses again, and leniently.
            reply = await smtp.execute_command(command.line, timeout=command.patience)
            if not proceeds(command.phase, reply.code):
                return Ended(reply, settled=True)
        return None

    async def _hand_over(self, message: bytes) -> Verdict:
        """Send the message and its dot; return the verdict."""
        protocol = self._smtp.protocol if self._smtp is not None else None
        if protocol is None:
            raise ConnectionError("the connection was closed")
        return self._concluded(await hand_over(protocol, on_the_wire(message), self._timeouts, self._at))

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
        smtp, transport = self._smtp, self._smtp.transport if self._smtp is not None else None
        try:
            if smtp is not None:
                with contextlib.suppress(SMTPException, OSError):
                    await smtp.quit(timeout=self._timeouts.quit)
        finally:
            self.abort()
            if transport is not None:
                # After a good QUIT aiosmtplib closes in peace, and TLS then waits half a minute for the other side.
                cast(asyncio.WriteTransport, transport).abort()

    def abort(self) -> None:
        """Close at once; what is still buffered is thrown away."""
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        if smtp.transport is not None:
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


def _refusal(code: int, text: str) -> Refused:
    """Refuse in the relay's place, with the reply it would give at MAIL."""
    return refusal(Reply(code, text, Phase.MAIL))
