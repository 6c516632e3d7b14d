"""A transaction's commands in one write, their replies each taken for its own command (RFC 2920).

In: commands in their order, DATA last. Out: the first reply that ends the transaction, or None: the relay waits for
the message. Fails with `OSError` or `SMTPException` while no reply has ended it; `at` has been told which command is
without an answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiosmtplib import SMTPException, SMTPResponse

from kinto_notify.smtp.outcome import Phase, in_step, proceeds
from kinto_notify.smtp.replies import Replies

# 503: the transaction is gone, which after a refusal in it is nothing new.
_BAD_SEQUENCE = 503


@dataclass(frozen=True, slots=True)
class Command:
    """A command without its line end, what it asks, and how long its reply may take, counted from the reply before."""

    phase: Phase
    patience: float
    line: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply that ended a transaction; `settled` if the relay has answered all else too and awaits no message."""

    reply: SMTPResponse
    settled: bool


async def announce(
    transport: asyncio.WriteTransport, commands: Sequence[Command], at: Callable[[Phase], None]
) -> Ended | None:
    """Send all commands at once and account for each reply.

    After a refusal the session is of use only where `settled` says so: RSET makes all new then. No message leaves here.
    """
    with Replies(transport) as replies:
        transport.write(b"".join(command.line + b"\r\n" for command in commands))
        for number, command in enumerate(commands, 1):
            at(command.phase)
            reply = await replies.next(command.patience)
            if not proceeds(command.phase, reply.code):
                settled = in_step(reply.code) and await _settled(transport, replies, commands[number:])
                return Ended(reply, settled)
    return None


async def _settled(transport: asyncio.WriteTransport, replies: Replies, rest: Sequence[Command]) -> bool:
    """Hear what the relay says to the commands behind the refused one; tell whether they came to nothing too."""
    try:
        for command in rest:
            reply = await replies.next(command.patience)
            if command.phase is Phase.DATA and proceeds(Phase.DATA, reply.code):
                # It waits for a message without a recipient: the lone dot is none (RFC 2920 3.1).
                transport.write(b".\r\n")
                reply = await replies.next(command.patience)
                return in_step(reply.code) or proceeds(Phase.DOT, reply.code)
            # A recipient that is taken after MAIL was refused would get the lone dot for a mail.
            if not in_step(reply.code) and reply.code != _BAD_SEQUENCE:
                return False
    except (OSError, SMTPException):
        return False
    return True
