"""One relay as the pool knows it: whether it may be tried, how many sessions it grants, whether it refuses us as such.

In: verdicts and faults, with the time. Out: what the pool may do next. Cannot fail.
"""

import dataclasses
import random

from kinto_notify.delivery import Deferred, Refused
from kinto_notify.smarthost import Relay
from kinto_notify.smtp.allowance import Allowance
from kinto_notify.smtp.circuit import Circuit
from kinto_notify.smtp.foresight import Foresight
from kinto_notify.smtp.outcome import Phase, RelayAtFault, Verdict
from kinto_notify.smtp.reasons import crowded, enhanced
from kinto_notify.smtp.streak import ENOUGH, Streak
from kinto_notify.smtp.timeouts import Timeouts


class Lane:
    """The memory of one relay; there is one for each, in the order of preference."""

    def __init__(self, relay: Relay, sessions: int, timeouts: Timeouts) -> None:
        self.relay = relay
        self.circuit = Circuit(timeouts.pause_least, timeouts.pause_most)
        self.allowance = Allowance(sessions, timeouts.regrow, timeouts.stall)
        self.foresight = Foresight(timeouts.lifetime)
        #: Whether it takes commands together, as far as its last session knows.
        self.pipelines = False
        self._stall = timeouts.stall
        self._answered = float("-inf")
        self._streak = Streak()

    def opened(self, now: float, *, pipelines: bool) -> None:
        """Note that a session was opened: the relay has answered. Does it take commands together?"""
        self.pipelines = pipelines
        self._answered = now

    def reviewed(self, verdict: Verdict, recipient: str) -> Verdict:
        """Return the verdict, or a fault of the relay where it refuses one recipient after the other alike."""
        if isinstance(verdict, Refused) and verdict.reply.phase == Phase.RCPT:
            if self._streak.refused(recipient, verdict.reply):
                status = enhanced(verdict.reply)
                text = f"{verdict.reply.code // 100}.{status} " if status else ""
                # Without the relay's words: they name the recipient, and one fault is to be one line.
                text += f"policy: {ENOUGH} recipients and more in a row were refused alike; may we relay here?"
                return RelayAtFault(dataclasses.replace(verdict.reply, text=text))
        elif verdict.reply.phase in (Phase.DATA, Phase.BODY, Phase.DOT):
            self._streak.taken()
        return verdict

    def worked(self, verdict: Verdict, now: float) -> None:
        """Note that the relay answered: whatever it said of the message, it does its part. Silence proves nothing."""
        if isinstance(verdict, RelayAtFault) or not verdict.reply.code:
            return
        self._answered = now
        if not self.circuit.healthy:
            # Now and not when it opened: the pause since then is no time without an answer.
            self.allowance.restart(now)
        self.circuit.succeed()
        if crowded(verdict.reply):
            self.allowance.refused(now, self.allowance.granted(now) - 1)
        elif not (isinstance(verdict, Deferred) and verdict.throttled):
            self.allowance.worked(now)

    def looks_ahead(self, now: float) -> bool:
        """Tell whether more messages than it has sessions may wait for it: it takes them together, and answers."""
        prompt = self.pipelines and now - self._answered < self._stall
        return prompt and self.foresight.trusted(now) and self.allowance.full(now)

    def foresaw(self, now: float, *, in_vain: bool) -> None:
        """Note what became of a message that was announced behind another's dot."""
        if in_vain:
            self.foresight.failed(now)
        else:
            self.foresight.worked()

    def crowded(self, fault: RelayAtFault, others: int, now: float) -> bool:
        """Tell whether the relay only refuses one session *more* than the `others` of ours; remember how many."""
        reply = fault.reply
        opening = reply.phase in (Phase.GREETING, Phase.EHLO) and 400 <= reply.code <= 499
        if not others or not (opening or crowded(reply)):
            return False
        self.allowance.refused(now, others)
        return True

    def trip(self, fault: RelayAtFault, begun: float, now: float) -> str:
        """Open the circuit for a fault of an attempt that began at `begun`; return it as a person reads it."""
        text = f"{self.relay} {fault}"
        self.circuit.fail(now, begun, text, random.random())  # noqa: S311 - jitter
        return text
