"""Contestants take turns, each round in another order.

In: contestants that are up, and how many events a turn has. Out: what each took, a number a round. A turn is timed
from the opening of the gate to the last mail at the sink, and is over when nothing is left to do; what comes too much
then is an error, as is what does not come.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mails.contestant import Contestant
from mails.events import events
from mails.sink import Sink

ROUNDS = 5
#: Sessions are opened and code is warm before the first round.
WARM_UP = 200
_LIMIT_S = 120.0


@dataclass(slots=True)
class Taken:
    """What a contestant took: by round, the mails a second and the processor's seconds a mail."""

    by: Contestant
    number: int
    rates: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu_us(self) -> float:
        return statistics.median(self.processor) * 1e6


def take_turns(contestants: Sequence[tuple[Contestant, int]], sink: Sink, rounds: int) -> list[Taken]:
    """Let each send its number of mails in each round."""
    everyone = [Taken(one, number) for one, number in contestants]
    for one in everyone:
        take_turn(one, sink, WARM_UP, counts=False)
    for turn in range(rounds):
        first = turn % len(everyone)
        for one in everyone[first:] + everyone[:first]:
            take_turn(one, sink, one.number, counts=True)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return everyone


def take_turn(one: Taken, sink: Sink, number: int, *, counts: bool) -> None:
    """Let one send so many mails."""
    told = events(number)
    one.by.hold()
    one.by.give(told)
    goal, before = sink.count() + number, one.by.processor()
    began = time.perf_counter()
    one.by.go()
    ended = sink.wait_for(goal, limit=_LIMIT_S)
    one.by.settle()
    took = one.by.processor() - before
    if (came := sink.count()) != goal:
        raise AssertionError(f"{one.by.title}: {came - goal} mails too many")
    if counts:
        one.rates.append(number / (ended - began))
        one.processor.append(took / number)
