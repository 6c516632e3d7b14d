"""One event to 10,000 recipients: what a mail costs, against a mail for each event; and what a delivery weighs."""

import contextlib
import signal

from mails.contestant import until
from mails.events import stream_of
from mails.ours import EACH, Ours, to_all
from mails.singles import NUMBER
from mails.stage import Stage, stage
from mails.turns import Work, take_turns
from mails.verdict import Line, below, standings, within

RECIPIENTS = 10_000
TIMES, WEIGHT = 1.2, 1024


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what both took."""
    with stage() as found, contextlib.ExitStack() as ending:
        at = found.place, found.redis.url, found.sink.port
        each = ending.enter_context(Ours(*at, EACH, namespace="each"))
        each.title = "an event a mail"
        many = ending.enter_context(Ours(*at, to_all(RECIPIENTS), namespace="many"))
        many.title = f"one event to {RECIPIENTS:,}"
        singles, fanned = take_turns([(each, Work(NUMBER, NUMBER)), (many, Work(1, RECIPIENTS))], found, rounds)
        grown = weight(found, many) / RECIPIENTS
    what = f"one event to {RECIPIENTS:,} recipients"
    lines = [
        within(f"{what}, time a mail", 1e6 / fanned.rate, "single", 1e6 / singles.rate, TIMES, "µs"),
        within(f"{what}, processor a mail", fanned.cost_us, "single", singles.cost_us, TIMES, "µs"),
        below(f"{what}, Redis' memory a delivery", grown, WEIGHT, "bytes"),
    ]
    return lines, standings([singles, fanned])


def weight(found: Stage, many: Ours) -> int:
    """Return by how much Redis grows while all deliveries wait: the sink says nothing for a while."""
    found.sink.signal(signal.SIGSTOP)
    goal = found.sink.count() + RECIPIENTS
    before = int(found.client.info("memory")["used_memory"])
    many.give(stream_of(1))
    until(lambda: many.client.zcard(many.key("deliveries")) == RECIPIENTS)
    grown = int(found.client.info("memory")["used_memory"]) - before
    found.sink.signal(signal.SIGCONT)
    found.sink.wait_for(goal, limit=120)
    return grown
