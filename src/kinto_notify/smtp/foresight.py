"""Whether a relay is told of the next message behind the dot of one, in the same write (RFC 2920 3.1).

Pure: `now` (any monotonic clock, seconds) is an argument. Cannot fail. Some that offer PIPELINING throw away what
stands behind the dot, close the connection at it, or close after each message: then it is left for a while.
"""

#: So many times in a row may an announced message come to nothing: relays restart, and retire sessions by themselves.
_ENOUGH = 3


class Foresight:
    """The memory of one relay's announced messages; after too many in vain it rests for `rest` seconds."""

    __slots__ = ("_failures", "_rest", "_until")

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._failures = 0
        self._until = float("-inf")

    def trusted(self, now: float) -> bool:
        """Tell whether the next message may be announced."""
        return now >= self._until

    def worked(self) -> None:
        """Note an announced message that the relay answered as it would have answered it alone."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Note one that had to be set free, or was answered by silence or by something that makes no sense."""
        self._failures += 1
        if self._failures >= _ENOUGH:
            self._until = now + self._rest
