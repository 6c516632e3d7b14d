"""How many sessions a relay lets us have: what it refused, what to ask for again, a slow start after an outage.

Pure: `now` (any monotonic clock, seconds) is an argument. Cannot fail.
"""

#: A ceiling that was found to stand is tried at longer and longer intervals, up to so many times the first.
_MOST_PATIENCE = 16


class Allowance:
    """Never more than `most`; a session that was refused is asked for again after `regrow` seconds.

    In a slow start another one is granted after each `stall` seconds without an answer: it may be one message alone
    that gets none.
    """

    __slots__ = (
        "_allowed",
        "_ceiling",
        "_changed_at",
        "_most",
        "_patience",
        "_probe_at",
        "_probing",
        "_regrow",
        "_stall",
    )

    def __init__(self, most: int, regrow: float, stall: float) -> None:
        self._most = most
        self._regrow = regrow
        self._ceiling = most
        self._patience = 1
        self._probe_at = 0.0
        self._probing = False
        self._stall = stall
        self._allowed = most
        self._changed_at = 0.0

    def granted(self, now: float) -> int:
        """Return how many sessions may stand at once."""
        stalled = int(max(0.0, now - self._changed_at) / self._stall)
        return min(self._ceiling, self._allowed + stalled)

    def full(self, now: float) -> bool:
        """Tell whether as many are granted as the relay is known to let stand: no slow start is under way."""
        return self.granted(now) >= self._ceiling

    def refused(self, now: float, standing: int) -> None:
        """Note that the relay refused one connection more while `standing` others of ours stood or were opening."""
        if self._probing:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        self._probing = False
        self._ceiling = max(1, min(self._ceiling, standing))
        self._allowed = min(self._allowed, self._ceiling)
        self._changed_at = now
        self._probe_at = now + self._regrow * self._patience

    def restart(self, now: float) -> None:
        """Begin anew after an outage: with one session, and without what was known of a ceiling."""
        self._ceiling = self._most
        self._patience = 1
        self._probing = False
        self._allowed = 1
        self._changed_at = now

    def worked(self, now: float) -> None:
        """Note a message that the relay dealt with: one session more below the ceiling, which doubles them each round.

        At the ceiling it is raised by one, now and then.
        """
        granted = self.granted(now)
        if granted < self._ceiling:
            self._allowed = granted + 1
        elif self._ceiling < self._most and now >= self._probe_at:
            self._ceiling += 1
            self._allowed = self._ceiling
            self._probing = True
            self._probe_at = now + self._regrow * self._patience
        else:
            return
        self._changed_at = now
