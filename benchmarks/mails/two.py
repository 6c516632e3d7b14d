"""Two daemons of one namespace against one, on processors that they share with Redis and the sink."""

import contextlib

from mails.ours import Ours, Pair
from mails.stage import stage
from mails.turns import Work, take_turns
from mails.verdict import Line, at_least, standings

NUMBER = 6_000
TIMES = 1.3


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what both took."""
    with stage() as found, contextlib.ExitStack() as ending:
        at = found.place, found.redis.url, found.sink.port
        one = ending.enter_context(Ours(*at, namespace="alone"))
        one.title = "kinto-notify, one daemon"
        two = ending.enter_context(Pair(*at))
        alone, pair = take_turns([(one, Work(NUMBER, NUMBER)), (two, Work(NUMBER, NUMBER))], found, rounds)
    return [at_least("two daemons", pair.rate, "one", alone.rate, TIMES)], standings([alone, pair])
