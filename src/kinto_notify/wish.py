"""What a recipient wants of the mails of a subscription: all, one a day, or none; and until when none at all.

Pure. In: the short form that Redis keeps. Out: a `Preference`. The key of a subscription is made here and in
`store/wish.lua` alike: of its identity, so that an edit of its text keeps what its recipients wished.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum

#: The key that stands for all subscriptions of a namespace.
EVERY = "*"
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS


class Wish(Enum):
    """How much of it: `DAILY` is one mail a day."""

    ON = "on"
    DAILY = "daily"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Preference:
    """A wish, and until when (ms of Redis `TIME`) nothing is sent; `identity` is empty where it is unknown."""

    wish: Wish = Wish.ON
    muted_until: int = 0
    identity: str = ""

    @classmethod
    def decode(cls, text: str) -> "Preference":
        """Read what `prefer.lua` wrote; an empty text is the default."""
        wish, _, rest = text.partition(" ")
        until, _, identity = rest.partition(" ")
        return cls(Wish(wish), int(until), identity) if text else cls()

    def unwanted(self, now: int) -> str | None:
        """Return why no mail goes out now, or None."""
        if self.wish is Wish.OFF:
            return "unsubscribed"
        return "muted" if self.muted_until > now else None


def subscription_key(identity: str) -> str:
    """Name a subscription in links and in Redis, whatever its length: 96 bits, as hex."""
    # Not for security: a script of Redis must come to the same, and what it can is SHA-1.
    return hashlib.sha1(identity.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:24]
