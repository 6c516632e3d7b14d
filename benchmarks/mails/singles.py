"""3,000 events in Redis to 3,000 mails at the sink, one daemon, everything durable; and everybody else on the same."""

import contextlib

from mails.ours import Ours
from mails.peers import ALL, ListScript, Prototype, Taskiq
from mails.stage import stage
from mails.turns import Taken, Work, take_turns
from mails.verdict import Line, at_least, below, standings

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
    return lines(by[Ours], start, by[ListScript], by[Taskiq], by[Prototype]), standings(everyone)


def lines(ours: Taken, start: float, script: Taken, taskiq: Taken, prototype: Taken) -> list[Line]:
    """Compare them."""
    what = f"{NUMBER:,} events to {NUMBER:,} mails"
    with_start = ours.cpu_us + start * 1e6 / NUMBER
    told = f"{what}, processor a mail ({with_start:,.0f} µs with the daemon's start)"
    return [
        at_least(f"{what}, against the list script", ours.rate, "list script", script.rate, TIMES_SCRIPT),
        at_least(f"{what}, against taskiq", ours.rate, "taskiq", taskiq.rate, TIMES_TASKIQ),
        at_least(f"{what}, against the prototype", ours.rate, "prototype", prototype.rate, PART_OF_PROTOTYPE),
        below(told, ours.cpu_us, CPU_US, "µs"),
    ]
