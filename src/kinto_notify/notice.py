"""What the operator is told by mail, and when: new dead letters, relays that could not be used, hooks switched off.

Pure: `now` is an argument, in milliseconds of Redis `TIME`. In: what was found since the last notice. Out: whether a
notice is due, and what it says; counts by reason, and nothing that a record or a recipient's address would show.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

#: What a notice's own delivery is filed under: a dead letter of it is nothing to send a notice of. Home and name as in
#: `subscription.identity`, whose module needs more than Kinto's own environment has, where `status` is listed too.
NOTICE_IDENTITY = "operator#notice"
#: At most one notice in so long, over all daemons.
EVERY_MS = 3_600_000
#: What comes in a burst is told together: the first of it waits so long.
GATHER_MS = 60_000
#: A relay that was away for less is no news: it was restarted.
LEAST_OUTAGE_MS = 60_000
_REPLY = re.compile(r"([2-5]\d\d)(?: ([245]\.\d{1,3}\.\d{1,3}))?\b.*\(at ([A-Za-z ]{1,20})\)\Z", re.DOTALL)
_BY_KIND = {"entry": "an entry that cannot be read", "digest": "a digest that cannot be composed"}


@dataclass(frozen=True, slots=True)
class Outage:
    """A relay's circuit at one daemon, open from `opened` to `closed` (None: still); `fault` is what it said last."""

    daemon: str
    relay: str
    opened: int
    fault: str
    closed: int | None = None

    def tellable(self, now: int, last: int) -> bool:
        """Tell whether it belongs in the next notice, the last one having been made at `last`."""
        if self.closed is not None:
            # Its beginning may have been told; its end was not, or it would have been forgotten.
            return self.closed - self.opened >= LEAST_OUTAGE_MS
        return now - self.opened >= LEAST_OUTAGE_MS > last - self.opened


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to tell. `last` is when the last notice was made (0: never), `oldest` when the first letter died.

    `since` is up to when dead letters were told of; `more` are those that were not looked at.
    """

    last: int
    since: int
    dead: Counter[str]
    oldest: int | None = None
    more: int = 0
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What one mail to the operator says. `dead` is sorted, the most frequent reason first."""

    made: int
    since: int
    dead: tuple[tuple[str, int], ...]
    more: int
    outages: tuple[Outage, ...]
    switched_off: tuple[str, ...]

    @property
    def buried(self) -> int:
        """How many dead letters it tells of."""
        return sum(count for _, count in self.dead) + self.more


def decide(found: Found, switched_off: Iterable[str], now: int) -> Notice | None:
    """Return the notice that is due, or None."""
    outages = tuple(one for one in found.outages if one.tellable(now, found.last))
    hooks = tuple(sorted(switched_off))
    ripe = found.oldest is not None and now - found.oldest >= GATHER_MS
    if not (ripe or outages or hooks) or (found.last and now - found.last < EVERY_MS):
        return None
    return Notice(now, found.since, tuple(found.dead.most_common()), found.more, outages, hooks)


def plain_reason(kind: str, reason: str) -> str:
    """Return a dead letter's reason without what a relay or a record put into it."""
    if reason.startswith("too old"):
        return "too old to be news"
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if reason.startswith("given up"):
        return "given up as too old"
    if reason.startswith("over the "):
        return "over a quota of hooks"
    found = _REPLY.match(reason)
    if found is None:
        return "other"
    return f"{found[1]}{' ' + found[2] if found[2] else ''} at {found[3]}"
