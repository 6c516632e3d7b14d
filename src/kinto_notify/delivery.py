"""How it went: an envelope on its way to one recipient, its outcome, and when to try again.

Pure: `now` and the jitter are arguments; all times in milliseconds of Redis `TIME`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender, *one* recipient (addr-specs as RFC 5321 takes them), and the message's bytes (CRLF, not dot-stuffed)."""

    sender: str
    recipient: str
    message: bytes
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What the smarthost said last; `phase` is the command it answered, code 0 that it said nothing."""

    code: int
    text: str
    phase: str

    def __str__(self) -> str:
        return f"{self.code} {self.text} (at {self.phase})"


@dataclass(frozen=True, slots=True)
class Sent:
    """The smarthost took it."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now. `not_before` is the least delay in milliseconds; the age-based delay may be longer.

    `ambiguous`: the final dot was sent and no reply came (RFC 1047), so the smarthost may have taken it.
    `throttled`: the smarthost says that mails come too fast.
    """

    reply: Reply
    not_before: int = 0
    ambiguous: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Never: this delivery goes to the dead letters.

    `too_big`: a smaller message might pass. `unknown_mailbox`: nobody has this address.
    """

    reply: Reply
    too_big: bool = False
    unknown_mailbox: bool = False


Outcome = Sent | Deferred | Refused


@dataclass(frozen=True, slots=True)
class Delivery:
    """An envelope under lease. `fence` is the number of the lease: a settle that carries an older one is refused.

    `attempts` counts outcomes (a fault of the relay itself is none); `headers` are the recipient's own, `body` names
    what the digest's recipients share. `first` is when it was made, `oldest` when the first change that it tells of was
    captured, by the clock of Kinto's host (0: not known); both in milliseconds. `suppressed`: what the relay said when
    it last knew no such address, where that is a reason to send nothing more there. `unwanted`: the recipient's own
    reason, where there is one. `summary`: it goes out as the
    summary of its digest; `shorter`: it could. `own_body`: what `body` names, where no other delivery shares it.
    """

    id: str
    fence: int
    attempts: int
    sender: str
    recipient: str
    headers: bytes
    body: str
    first: int
    identity: str
    smtputf8: bool = False
    oldest: int = 0
    suppressed: str | None = None
    unwanted: str | None = None
    shorter: bool = False
    summary: bool = False
    own_body: bytes | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Milliseconds: the first retry comes after `least`, none later than `most` after the one before it."""

    least: int = 60_000
    most: int = 3_600_000
    give_up_after: int = 259_200_000


#: No reply after the dot: the smarthost may still be delivering it; RFC 5321 4.5.3.2.6 allows it ten minutes.
AMBIGUOUS_DELAY_MS = 600_000


def retry_delay(policy: RetryPolicy, age: int, jitter: float) -> int:
    """Return the delay to the next attempt: about a third of the age, spread by `jitter` in [0, 1) within the policy.

    A greylisting relay refuses what comes back too soon, so that the spread never falls below the least delay.

    The delay is a function of age, not of a count: a delivery that waited for the relay is not punished for it.
    """
    delay = min(max(age // 3, policy.least), policy.most)
    low, high = max(delay * 4 // 5, policy.least), min(delay * 6 // 5, policy.most)
    return low + int((high - low) * jitter)


def too_old(policy: RetryPolicy, age: int) -> bool:
    """Tell whether a delivery of this age is buried instead of tried again."""
    return age >= policy.give_up_after
