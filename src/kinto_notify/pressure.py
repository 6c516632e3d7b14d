"""How full Redis is, and whether the relay may publish: freely, slowly, or not at all.

In: what Redis says of its memory and of the stream. Out: a decision, the same for the relays, which obey it, and for
the daemon, which tells of it. Pure. The outbox is durable and Redis is not endless: what the relay holds back is safe,
and the room that is left belongs to what drains, filing and sending.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

#: Above the first the relay slows down, at the last it stops; it begins again, slowly, below the one between: so near
#: the end that it does not stand still for good where others keep Redis so full. A tenth is left to what drains: an
#: entry that is filed needs a third of its own size before it gives that back.
SLOW, AGAIN, FULL = 0.8, 0.87, 0.9
#: What the stream may hold unfiled where Redis has no `maxmemory` that would say when it is full: 1.7 GB of small
#: entries, an hour of 280 writes a second.
MOST_UNFILED = 1_000_000
#: The longest rest between two batches, just below `FULL`: a hundred entries a second from each relay.
_LONGEST_REST_S = 1.0


class Admission(Enum):
    """What the relay may do."""

    OPEN = "open"
    SLOWED = "slowed"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Load:
    """What Redis holds: bytes in use of those it may have (0: no limit), and entries that nobody has filed."""

    used: int
    limit: int
    unfiled: int

    @property
    def memory(self) -> float:
        """The part of `maxmemory` that is in use; 0 where there is no limit."""
        return self.used / self.limit if self.limit else 0.0

    @property
    def backlog(self) -> float:
        """The part of what may wait unfiled that does."""
        return self.unfiled / MOST_UNFILED

    @property
    def level(self) -> float:
        """How full it is, by whichever is nearer to its end."""
        return max(self.memory, self.backlog)

    def __str__(self) -> str:
        if self.memory >= self.backlog:
            return f"Redis uses {self.memory:.0%} of its maxmemory"
        return f"{self.unfiled:,} entries of the stream are not filed"


def load(memory: Mapping[str, object], stream: object, filed: object) -> Load:
    """Read a load from `INFO memory`, the stream's length, and how many filed entries still stand in it."""
    # What Redis does not count either when it decides that it is out of memory: its buffers for replicas and the AOF.
    used = _number(memory.get("used_memory")) - _number(memory.get("mem_not_counted_for_evict"))
    return Load(used, _number(memory.get("maxmemory")), max(_number(stream) - _number(filed), 0))


def admit(before: Admission, level: float) -> Admission:
    """Decide what the relay may do now; held until the level is below `AGAIN`, so that it does not flutter."""
    if level >= FULL or (before is Admission.HELD and level >= AGAIN):
        return Admission.HELD
    return Admission.SLOWED if level >= SLOW else Admission.OPEN


def rest(level: float) -> float:
    """Return the seconds to rest between two batches: more, the nearer the end is."""
    return min(max(level - SLOW, 0.0) / (FULL - SLOW), 1.0) * _LONGEST_REST_S


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
