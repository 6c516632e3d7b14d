"""What was seen in a run: what was published and mailed, what was done to whom, and what is left at rest."""

from collections import Counter
from dataclasses import dataclass, field

from support.inbox import Letter

#: `one` and `two` get digests by collection, `each` a mail for every change.
RECIPIENTS = ("one@example.org", "two@example.org", "each@example.org")


@dataclass
class Done:
    """A fault that was done: in `flight` are the Message-IDs of the deliveries under lease just then."""

    at: float
    what: str
    flight: frozenset[str]


@dataclass
class Record:
    """All that the verdict needs; times are seconds since the start of the run."""

    seed: int
    #: The monotonic clock at the start of the run.
    start: float = 0.0
    published: dict[str, float] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    smtp_faults: Counter[str] = field(default_factory=Counter)
    dead: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    rest: bool = False
    waiting: str = ""
    repeated: int = 0
    exits: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
