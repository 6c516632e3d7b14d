"""100,000 events to 10 digests, against a script that validates nothing and keeps nothing; and the daemon's memory."""

import contextlib

from mails.ours import Ours, gathered
from mails.peers import DigestScript
from mails.stage import stage
from mails.turns import Work, take_turns
from mails.used import memory
from mails.verdict import Line, at_least, below, standings

WORK = Work(events=100_000, mails=10, collections=10)
PART, MEMORY_MB = 0.5, 128


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what both took."""
    with stage() as found, contextlib.ExitStack() as ending:
        at = found.place, found.redis.url, found.sink.port
        ours = ending.enter_context(Ours(*at, gathered(WORK.events // WORK.mails)))
        script = ending.enter_context(DigestScript(*at))
        mine, theirs = take_turns([(ours, WORK), (script, WORK)], found, rounds)
        peak = memory(ours, "VmHWM") / 1e6
    what = f"{WORK.events:,} events to {WORK.mails} digests"
    lines = [
        at_least(what, mine.rate, "RPOP 500", theirs.rate, PART, "events/s"),
        below(f"{what}, memory at its most", peak, MEMORY_MB, "MB"),
    ]
    return lines, standings([mine, theirs], "event")
