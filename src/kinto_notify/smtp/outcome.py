"""What a reply means: the table from phase and reply code to an outcome, or to a fault of the relay itself.

Pure. In: the phase the reply answers, its code (`SILENCE`, `GARBAGE` where there was none) and its text. Out: a
verdict. Unknown means temporary: only a reply that says so plainly buries a delivery.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from kinto_notify.delivery import AMBIGUOUS_DELAY_MS, Deferred, Outcome, Refused, Reply, Sent
from kinto_notify.smtp.reasons import crowded, throttled, too_big, unknown_mailbox


class Phase(StrEnum):
    """What the relay was asked last; the words stand in log lines and in `Reply.phase`."""

    CONNECT = "connect"
    TLS = "TLS"
    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    LOGIN = "login"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    #: The message is on its way, its final dot has not left us.
    BODY = "body"
    DOT = "dot"


#: Timeout or end of the connection instead of a reply.
SILENCE = 0
#: Bytes that are no reply.
GARBAGE = -1

_OPENING = frozenset(
    {Phase.CONNECT, Phase.TLS, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.LOGIN, Phase.RSET},
)
# 421: the relay closes the channel. 530, 535, 538: it wants a login or TLS that it did not get. No envelope's fault.
_RELAY_CODES = frozenset({421, 530, 535, 538})
# At MAIL: the message is too big (552, 5.2.3, 5.3.4) or its form is not taken (5.6.x), not the sender.
_ABOUT_THE_MESSAGE = re.compile(r"5\.(2\.3|3\.4|6\.\d+)\b")
# Bad sequence of commands: we and the relay disagree about where we are, which says nothing about the recipient.
_BAD_SEQUENCE = 503
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class RelayAtFault:
    """The relay could not do its part; no delivery is to blame."""

    reply: Reply

    @property
    def throttled(self) -> bool:
        """Whether it says that mails come too fast (only where it speaks of mail, not in a refused login)."""
        return self.reply.phase not in _OPENING and throttled(self.reply)

    def __str__(self) -> str:
        text = f"{self.reply.code} {self.reply.text}" if self.reply.code else self.reply.text
        return f"at {self.reply.phase}: {text}"


Verdict = Outcome | RelayAtFault


def proceeds(phase: Phase, code: int) -> bool:
    """Tell whether the reply lets the transaction go on (after the dot: whether it is done)."""
    return code == 354 if phase is Phase.DATA else 200 <= code <= 299


def in_step(code: int) -> bool:
    """Tell whether we and the relay still agree where we are after this refusal, so that RSET makes all new."""
    return 400 <= code <= 599 and code not in _RELAY_CODES and code != _BAD_SEQUENCE


def judge(phase: Phase, code: int, text: str) -> Verdict:
    """Return what follows from a reply that does not let the transaction go on, or from the one to the dot."""
    reply = Reply(max(code, 0), _plain(text), phase)
    if phase in _OPENING:
        return RelayAtFault(reply)
    if phase is Phase.BODY and code == SILENCE:
        # The dot is still here: the relay can't have taken it.
        return Deferred(reply)
    if phase in (Phase.BODY, Phase.DOT):
        return _about_the_message(phase, code, reply)
    if code in _RELAY_CODES or crowded(reply):
        return RelayAtFault(reply)
    if phase is Phase.MAIL and code == SILENCE:
        # Nothing of the message has been said yet. Later the recipient or the content may be what kills the session.
        return RelayAtFault(reply)
    if not 500 <= code <= 599 or (code == _BAD_SEQUENCE and phase is not Phase.MAIL):
        return Deferred(reply, throttled=throttled(reply))
    if phase is Phase.MAIL and code != 552 and not _ABOUT_THE_MESSAGE.match(reply.text):
        # The sender is the operator's setting: refusing it must not bury the whole queue.
        return RelayAtFault(reply)
    return refusal(reply)


def refusal(reply: Reply) -> Refused:
    """Refuse for good, and say what about."""
    return Refused(reply, too_big=too_big(reply), unknown_mailbox=unknown_mailbox(reply))


def _about_the_message(phase: Phase, code: int, reply: Reply) -> Outcome:
    """Judge a reply to the message. A 421 too: a relay that chokes on one mail must not stop all."""
    if 200 <= code <= 299 and phase is Phase.DOT:
        return Sent(reply)
    if 400 <= code <= 499:
        return Deferred(reply, throttled=throttled(reply))
    if 500 <= code <= 599:
        return refusal(reply)
    # RFC 1047: it may have been taken.
    return Deferred(reply, not_before=AMBIGUOUS_DELAY_MS, ambiguous=True)


def _plain(text: str) -> str:
    """Make one line of what a server said, fit for logs and JSON: no controls, no lone surrogates, no megabytes."""
    line = " ".join(text[: 4 * _MAX_TEXT].split())[:_MAX_TEXT]
    if line.isascii() and line.isprintable():
        return line
    line = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "�" for char in line)
