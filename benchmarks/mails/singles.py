"""3,000 events in Redis to 3,000 mails at the sink, one daemon, everything durable; and everybody else on the same."""

import contextlib

from mails.ours import Ours
from mails.peers import ALL, Bare, ListScript, Taskiq
from mails.stage import stage
from mails.turns import Taken, take_turns
from mails.verdict import Line, at_least, below, standings

NUMBER = 3_000
TIMES_SCRIPT, TIMES_TASKIQ, PART_OF_BARE = 10, 6, 0.4
CPU_US = 250


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what everybody took."""
    with stage() as found, contextlib.ExitStack() as ending:
        place, url, port = found.place, found.redis.url, found.sink.port
        ours = ending.enter_context(Ours(place, url, port))
        start = ours.processor()
        peers = [ending.enter_context(peer(place, url, port)) for peer in ALL.values()]
        everyone = take_turns([(one, NUMBER) for one in (ours, *peers)], found.sink, rounds)
    by = {type(one.by): one for one in everyone}
    return lines(by[Ours], start, by[ListScript], by[Taskiq], by[Bare]), standings(everyone)


def lines(ours: Taken, start: float, script: Taken, taskiq: Taken, bare: Taken) -> list[Line]:
    """Compare them."""
    what = f"{NUMBER:,} events to {NUMBER:,} mails"
    with_start = ours.cpu_us + start * 1e6 / NUMBER
    told = f"{what}, processor a mail ({with_start:,.0f} µs with the daemon's start)"
    return [
        at_least(f"{what}, against the list script", ours.rate, "list script", script.rate, TIMES_SCRIPT),
        at_least(f"{what}, against taskiq", ours.rate, "taskiq", taskiq.rate, TIMES_TASKIQ),
        at_least(f"{what}, against the bound", ours.rate, "bare", bare.rate, PART_OF_BARE),
        below(told, ours.cpu_us, CPU_US, "µs"),
    ]
