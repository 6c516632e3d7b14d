"""The replies to a transaction's commands, each taken for its own command, also where all went out in one write.

In: a line on which the commands are, or one after the other will be, in their order, DATA last (RFC 2920). Out: the
first reply that ends the transaction, or None: the relay waits for the message. Fails with `OSError` or
`SMTPException` while no reply has ended it; `at` has been told which command is without an answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiosmtplib import SMTPException, SMTPResponse

from kinto_notify.smtp.commands import Command
from kinto_notify.smtp.line import Line
from kinto_notify.smtp.outcome import Phase, in_step, proceeds

# 503: the transaction is gone, which after a refusal in it is nothing new.
_BAD_SEQUENCE = 503


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply that ended a transaction; `settled` if the relay has answered all else too and awaits no message."""

    reply: SMTPResponse
    settled: bool


async def one_by_one(line: Line, commands: Sequence[Command], at: Callable[[Phase], None]) -> Ended | None:
    """Ask a relay that takes no second command before it has answered the first."""
    for command in commands:
        at(command.phase)
        line.write(command.line + b"\r\n")
        reply = await line.next(command.patience)
        if not proceeds(command.phase, reply.code):
            return Ended(reply, settled=True)
    return None


async def account(line: Line, commands: Sequence[Command], at: Callable[[Phase], None]) -> Ended | None:
    """Account for each reply to commands that went out together.

    After a refusal the session is of use only where `settled` says so: RSET makes all new then. No message leaves here.
    """
    for number, command in enumerate(commands, 1):
        at(command.phase)
        reply = line.heard() or await line.next(command.patience)
        if not proceeds(command.phase, reply.code):
            settled = in_step(reply.code) and await _settled(line, commands[number:])
            return Ended(reply, settled)
    return None


async def _settled(line: Line, rest: Sequence[Command]) -> bool:
    """Hear what the relay says to the commands behind the refused one; tell whether they came to nothing too."""
    try:
        for command in rest:
            reply = await line.next(command.patience)
            if command.phase is Phase.DATA and proceeds(Phase.DATA, reply.code):
                # It waits for a message without a recipient: the lone dot is none (RFC 2920 3.1).
                line.write(b".\r\n")
                reply = await line.next(command.patience)
                return in_step(reply.code) or proceeds(Phase.DOT, reply.code)
            # A recipient that is taken after MAIL was refused would get the lone dot for a mail.
            if not in_step(reply.code) and reply.code != _BAD_SEQUENCE:
                return False
    except (OSError, SMTPException):
        return False
    return True
