"""What an outbox tells of itself, whichever it is.

In: numbers and entries. Out: the same, named. Never fails.
"""

from dataclasses import dataclass

from kinto_notify.outbox.split import Entry


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits, and since when the oldest does (seconds)."""

    rows: int = 0
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A published entry that is kept for `replay`; `at` is when it was published, in ms."""

    at: int
    entry: Entry
