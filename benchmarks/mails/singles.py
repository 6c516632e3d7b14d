"""3,000 events in Redis to 3,000 mails at the sink, one daemon, everything durable; and everybody else on the same."""

import contextlib
from collections.abc import Mapping

from mails.contestant import Contestant
from mails.ours import Ours
from mails.peers import ALL, Bare, ListScript, Prototype, Taskiq
from mails.stage import stage
from mails.turns import Taken, Work, take_turns
from mails.verdict import Line, at_least, below, standings, told

NUMBER = 3_000
TIMES_SCRIPT, TIMES_TASKIQ, PART_OF_PROTOTYPE = 10, 6, 0.4
CPU_US = 250


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what everybody took."""
    with stage() as found, contextlib.ExitStack() as ending:
        place, url, port = found.place, found.redis.url, found.sink.port
        ours = ending.enter_context(Ours(place, url, port))
        start = ours.processor()
        peers = [ending.enter_context(peer(place, url, port)) for peer in ALL.values()]
        everyone = take_turns([(one, Work(NUMBER, NUMBER)) for one in (ours, *peers)], found, rounds)
    by = {type(one.by): one for one in everyone}
    return lines(by, start), standings(everyone)


def lines(by: Mapping[type[Contestant], Taken], start: float) -> list[Line]:
    """Compare them."""
    what, ours = f"{NUMBER:,} events to {NUMBER:,} mails", by[Ours]
    with_start = ours.cpu_us + start * 1e6 / NUMBER
    processor = f"{what}, processor a mail ({with_start:,.0f} µs with the daemon's start)"
    prototype = at_least(
        f"{what}, against the prototype", ours.rate, "prototype", by[Prototype].rate, PART_OF_PROTOTYPE
    )
    return [
        at_least(f"{what}, against the list script", ours.rate, "list script", by[ListScript].rate, TIMES_SCRIPT),
        at_least(f"{what}, against taskiq", ours.rate, "taskiq", by[Taskiq].rate, TIMES_TASKIQ),
        prototype,
        told(f"{what}, against the bare client", ours.rate, "bare", by[Bare].rate),
        below(processor, ours.cpu_us, CPU_US, "µs"),
    ]
