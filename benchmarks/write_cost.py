"""What a write to Kinto costs with each way to tell of it: all in one run, in turns.

    python benchmarks/write_cost.py [process | http] [--storage memory] [--rounds 60] [--block 20]

In: nothing but this machine; PostgreSQL only where there is a server. Out: for each way (webtest in Kinto's own
process; HTTP to `kinto start`) a table: the median and the 95th percentile of a small record's PUT, the processor
time of Kinto's whole process for each (relay and all), and what they are more than those of the two Kintos that tell
nobody: turn by turn, so that what else the machine does falls out, with the interval that holds it with 95 %
certainty. Each contestant works alone, a block at a time, in an order that is drawn anew each time; what its writes
set off (the relay, the mails) must be over before the next one's turn, so that it falls into its own. Ends with 1 where
ours breaks its promise: median +10 %, p95 +5 ms.
"""

import argparse
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What tests use to start servers is used here too.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from contestants import Contestant, contestants
from kintos import InProcess, Kinto, OverHttp
from paired import ratio
from storages import STORAGES
from tools.write_cost import MEDIAN_LIMIT, P95_LIMIT_MS, WARM_UP

WAYS: dict[str, Callable[[Contestant, Mapping[str, str], Path], Kinto]] = {"process": InProcess, "http": OverHttp}
#: Of a contestant that waits for a mail server, this part of a block.
SLOW_PART = 20
#: Short turns, and many: what else the machine does changes within seconds, and should hit all alike.
ROUNDS, BLOCK = 60, 20


@dataclass(slots=True)
class Taken:
    """What a contestant took: each write's time, and the processor's for all of them with what they set off."""

    by: Contestant
    written: int = 0
    times: list[float] = field(default_factory=list)
    #: Of each turn: the median of its writes, and the processor's time for one.
    medians: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.times, n=20)[-1]


def measure(way: str, storage: str, rounds: int, size: int) -> list[Taken]:
    """Let them write in turns, each round in another order; the round before the first warms up."""
    with contextlib.ExitStack() as ending:
        place = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="write-cost-")))
        everyone = [Taken(one) for one in ending.enter_context(contestants(place))]
        stored = ending.enter_context(STORAGES[storage]())
        kintos: list[Kinto] = []
        for number, one in enumerate(everyone):
            directory = place / f"kinto-{number}"
            directory.mkdir()
            kintos.append(WAYS[way](one.by, stored(number), directory))
            ending.callback(kintos[-1].close)
        pairs = list(zip(everyone, kintos, strict=True))
        # Nobody always comes after the same one. The same orders each time.
        order = random.Random(0)
        for turn in range(-1, rounds):
            order.shuffle(pairs)
            for one, kinto in pairs:
                take_turn(one, kinto, size if turn >= 0 else WARM_UP, counts=turn >= 0)
    return everyone


def take_turn(one: Taken, kinto: Kinto, number: int, *, counts: bool) -> None:
    """Let one write, and wait until what that set off is over."""
    number = max(1, number // SLOW_PART) if one.by.slow else number
    before = kinto.processor()
    times = kinto.block(one.written, number)
    one.written += number
    one.by.settle(one.written)
    if counts:
        one.times += times
        one.medians.append(statistics.median(times))
        one.processor.append((kinto.processor() - before) / number)


def report(title: str, everyone: list[Taken]) -> bool:
    """Print a table in Markdown; tell whether the promise holds."""
    alone = [one for one in everyone if one.by.bare]
    medians, once = of_both([one.medians for one in alone]), of_both([one.processor for one in alone])
    p95 = max(one.p95 for one in alone)
    print(f"\n{title}\n\n| | writes | median | | p95 | | processor | |\n|---|--:|--:|--:|--:|--:|--:|--:|")
    kept = True
    for one in everyone:
        grown, later = ratio(one.medians, medians), one.p95 - p95
        cells = [f"{statistics.median(one.times):.2f} ms", str(grown), f"{one.p95:.2f} ms", f"{later:+.2f} ms"]
        cells += [f"{statistics.mean(one.processor):.2f} ms", str(ratio(one.processor, once))]
        print("|", " | ".join([one.by.name, str(len(one.times)), *cells]), "|")
        kept &= not one.by.promised or (grown.median - 1 < MEDIAN_LIMIT and later < P95_LIMIT_MS)
    return kept


def of_both(turns: list[list[float]]) -> list[float]:
    """Return what the two Kintos that tell nobody took, turn by turn, on average."""
    return [statistics.mean(turn) for turn in zip(*turns, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", nargs="?", choices=WAYS, help="only this way")
    parser.add_argument("--storage", choices=STORAGES, help="only this storage")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--block", type=int, default=BLOCK, help="writes in a row")
    asked = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    began, kept = time.monotonic(), True
    for storage in [asked.storage] if asked.storage else STORAGES:
        for way in [asked.way] if asked.way else WAYS:
            kept &= report(f"{way}, {storage}", measure(way, storage, asked.rounds, asked.block))
    promise = f"median below +{MEDIAN_LIMIT:.0%}, p95 below +{P95_LIMIT_MS:.0f} ms"
    print(f"\n{promise}: {'kept' if kept else 'BROKEN'} ({time.monotonic() - began:.0f} s)")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
