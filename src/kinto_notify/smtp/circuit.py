"""When a relay may be tried again after it failed: one circuit for each relay.

Pure: `now` (any monotonic clock, seconds) and the jitter are arguments. A circuit is closed while all is well, open
for a growing time after a fault, and then admits one trial at a time until an attempt succeeds. A trial that gets no
answer does not keep the next one waiting for ever: what stalls may be one message, and not the relay.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_UNWATCHED = nullcontext()


class Circuit:
    """The memory of one relay's faults; `least` and `most` bound how long it stays open after one."""

    __slots__ = ("_least", "_most", "_stalled_at", "_trials", "_tripped", "failures", "fault", "since", "until")

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._tripped = float("-inf")
        self.failures = 0
        self.until = float("-inf")
        self._trials = 0
        self._stalled_at = float("-inf")
        #: The last fault, None when an attempt has succeeded since.
        self.fault: str | None = None
        #: When it opened, None while it is closed.
        self.since: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing is known against the relay."""
        return self.failures == 0

    @property
    def trying(self) -> bool:
        """Whether a trial is under way."""
        return self._trials > 0

    @property
    def next_trial(self) -> float:
        """When the next trial may begin; the end of the one under way may bring it forward."""
        return max(self.until, self._stalled_at) if self.trying else self.until

    def admits(self, now: float) -> bool:
        """Tell whether an attempt may begin."""
        return self.healthy or now >= self.next_trial

    def trial(self, now: float, patience: float) -> AbstractContextManager[None]:
        """Keep others out while an attempt runs, for `patience` seconds, if the relay is known to have failed."""
        return _UNWATCHED if self.healthy else self._trial(now, patience)

    @contextmanager
    def _trial(self, now: float, patience: float) -> Iterator[None]:
        self._trials += 1
        self._stalled_at = now + patience
        try:
            yield
        finally:
            self._trials -= 1

    def fail(self, now: float, begun: float, fault: str, jitter: float) -> bool:
        """Note a fault of an attempt that began at `begun`; `jitter` in [0, 1). Tell whether the circuit opened.

        Ten sessions that die together are one fault: those that began before the circuit opened do not count again.
        """
        self.fault = fault
        if begun <= self._tripped:
            return False
        self._tripped = now
        self.since = now if self.since is None else self.since
        self.failures += 1
        # The exponent is bounded because 2.0 ** 1024 overflows, after a weekend of outage.
        delay = min(self._least * 2.0 ** min(self.failures - 1, 32), self._most)
        self.until = now + delay * (0.75 + 0.25 * jitter)
        return True

    def succeed(self) -> None:
        """Note that the relay did its part."""
        self.failures = 0
        self.fault = None
        self.since = None
