"""Contestants take turns, each round in another order.

In: contestants that are up, and what a turn of theirs is about. Out: what each took, a number a round. A turn is timed
from the opening of the gate to the last mail at the sink, and is over when nothing is left to do; what comes too much
then is an error, as is what does not come. Processor time is counted to that end, the contestant's and Redis'.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mails.contestant import Contestant
from mails.events import stream_of
from mails.stage import Stage
from mails.used import processor

ROUNDS = 5
#: Far longer than anybody takes; a million events take minutes.
_LIMIT_S = 1_200.0


@dataclass(frozen=True, slots=True)
class Work:
    """So many events, going round so many collections, that make so many mails."""

    events: int
    mails: int
    collections: int = 1

    @property
    def units(self) -> int:
        """What the cost is divided by: whatever there is more of."""
        return max(self.events, self.mails)


#: Sessions are opened and code is warm before the first round.
WARM_UP = Work(200, 200)


@dataclass(slots=True)
class Taken:
    """What a contestant took: by round, the events or mails a second and the processor's seconds for each."""

    by: Contestant
    work: Work
    rates: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    of_redis: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu_us(self) -> float:
        return statistics.median(self.own) * 1e6

    @property
    def redis_us(self) -> float:
        return statistics.median(self.of_redis) * 1e6

    @property
    def cost_us(self) -> float:
        """Both: what one of them saves, the other may pay."""
        return statistics.median(map(sum, zip(self.own, self.of_redis, strict=True))) * 1e6


def take_turns(contestants: Sequence[tuple[Contestant, Work]], stage: Stage, rounds: int) -> list[Taken]:
    """Let each do its work in each round, after one to warm up."""
    everyone = [Taken(one, work) for one, work in contestants]
    for one in everyone:
        single = one.work.events == one.work.mails
        take_turn(one, stage, WARM_UP if single else one.work, counts=False)
    for turn in range(rounds):
        first = turn % len(everyone)
        for one in everyone[first:] + everyone[:first]:
            take_turn(one, stage, one.work)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return everyone


def take_turn(one: Taken, stage: Stage, work: Work, *, counts: bool = True) -> None:
    """Let one do this work."""
    one.by.hold()
    one.by.give(stream_of(work.events, collections=work.collections))
    goal = stage.sink.count() + work.mails
    own, of_redis = one.by.processor(), processor(stage.redis)
    began = time.perf_counter()
    one.by.go()
    ended = stage.sink.wait_for(goal, limit=_LIMIT_S)
    one.by.settle()
    own, of_redis = one.by.processor() - own, processor(stage.redis) - of_redis
    if (came := stage.sink.count()) != goal:
        raise AssertionError(f"{one.by.title}: {came - goal} mails too many")
    if counts:
        one.rates.append(work.units / (ended - began))
        one.own.append(own / work.units)
        one.of_redis.append(of_redis / work.units)
