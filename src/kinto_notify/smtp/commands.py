"""What a message asks of a relay: its commands, and why a relay could never take it.

Pure. In: an envelope and what the relay offered after EHLO. Out: commands, or a refusal in the relay's place.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from kinto_notify.delivery import Envelope, Refused, Reply
from kinto_notify.smtp.outcome import Phase, refusal
from kinto_notify.smtp.timeouts import Timeouts

_MAX_SIZE_DIGITS = 20

# Addresses were parsed long before; this is the last lock before the wire.
_UNSAFE = re.compile(r"[\x00-\x20<>\x7f]")


class Command(NamedTuple):
    """A command without its line end, what it asks, and how long its reply may take, counted from the reply before.

    A tuple, which is made sooner than a frozen dataclass: a mail takes three.
    """

    phase: Phase
    patience: float
    line: bytes


def unfit(envelope: Envelope, offers: Mapping[str, str]) -> Refused | None:
    """Say what this relay could never take, before it is asked."""
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


def _refusal(code: int, text: str) -> Refused:
    """Refuse in the relay's place, with the reply it would give at MAIL."""
    return refusal(Reply(code, text, Phase.MAIL))


def transaction(envelope: Envelope, offers: Mapping[str, str], limits: Timeouts, *, reset: bool) -> list[Command]:
    """Return what begins a transaction: MAIL, RCPT and DATA, behind RSET if the one before was broken off."""
    sender = b"MAIL FROM:<%s>" % envelope.sender.encode()
    if "size" in offers:
        sender += b" SIZE=%d" % len(envelope.message)
    if "8bitmime" in offers and not envelope.message.isascii():
        sender += b" BODY=8BITMIME"
    if envelope.smtputf8:
        sender += b" SMTPUTF8"
    return [
        *([Command(Phase.RSET, limits.mail, b"RSET")] if reset else ()),
        Command(Phase.MAIL, limits.mail, sender),
        Command(Phase.RCPT, limits.rcpt, b"RCPT TO:<%s>" % envelope.recipient.encode()),
        Command(Phase.DATA, limits.data, b"DATA"),
    ]


def joined(commands: list[Command]) -> bytes:
    """Return the commands as they go out in one write."""
    return b"".join(command.line + b"\r\n" for command in commands)
