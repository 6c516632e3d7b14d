"""A long backlog against a short one: what an event costs, and what the daemon needs of memory.

`BACKLOG` in the environment is how long the long one is. Cost is the processor's time, the daemon's and Redis': what
would grow with the backlog grows in one of them.
"""

import contextlib
import os

from mails.ours import Ours, gathered
from mails.stage import stage
from mails.turns import Taken, Work, take_turn
from mails.used import memory
from mails.verdict import Line, standings, within

SHORT, LONG = 10_000, int(os.environ.get("BACKLOG", "1000000"))
COLLECTIONS = 10
TIMES = 1.2


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what both took."""
    with stage() as found, contextlib.ExitStack() as ending:
        everyone = []
        for name, number in (("short", SHORT), ("long", LONG)):
            table = gathered(number // COLLECTIONS)
            one = Ours(found.place, found.redis.url, found.sink.port, table, namespace=name)
            one.title = f"{number:,} events wait"
            everyone.append(Taken(ending.enter_context(one), Work(number, COLLECTIONS, COLLECTIONS)))
        short, long = everyone
        take_turn(short, found, short.work, counts=False)
        for turn in range(rounds):
            take_turn(short, found, short.work)
            if turn == rounds // 2:
                # Once, in the middle: it takes a minute or more.
                take_turn(long, found, long.work)
        least, most = (memory(one.by, "VmHWM") / 1e6 for one in everyone)
    what = f"{LONG:,} waiting events against {SHORT:,}"
    lines = [
        within(f"{what}, processor an event (with Redis')", long.cost_us, f"{SHORT:,}", short.cost_us, TIMES, "µs"),
        within(f"{what}, memory at its most", most, f"{SHORT:,}", least, TIMES, "MB"),
    ]
    return lines, standings(everyone, "event")
