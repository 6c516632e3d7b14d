"""How the cost of a mail and of an event grows: with events, recipients, open digests and backlog.

    python benchmarks/growth_cost.py [--rounds 3] [--largest 100000] [--pictures docs/pictures]

In: nothing but this machine, with Postfix' `smtp-sink`. Out: a table of each curve, what waits weighs in Redis, and
with `--pictures` a picture of each curve, `growth-*.svg`, in that directory. Ends with 1 where the last point of a
curve is more than twice its cheapest one, with 69 where Postfix is missing. Other work on the machine disturbs it: the
load is told too.
"""

import argparse
import os
import sys
from pathlib import Path

# What tests use to start servers is used here too.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from growth.chart import Series, chart
from growth.curves import Curve, curves
from mails.sink import Missing, find
from mails.stage import stage

#: Beyond this a cost has grown, whatever else the machine did.
_TIMES = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=100_000, help="how much waits at most")
    parser.add_argument("--pictures", type=Path, metavar="DIRECTORY")
    arguments = parser.parse_args()
    try:
        find("smtp-sink")
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 69
    grown = []
    with stage() as found:
        for curve in curves(found, arguments.rounds, arguments.largest):
            print(table(curve), flush=True)
            if arguments.pictures is not None:
                draw(curve, arguments.pictures)
            costs = [one.cost_us for one in curve.taken]
            if costs[-1] > _TIMES * min(costs):
                grown.append(curve.name)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    if grown:
        print(f"more than {_TIMES:g} times as much at the end: {', '.join(grown)}")
    return 1 if grown else 0


def table(curve: Curve) -> str:
    lines = [
        f"\n{curve.title}\n",
        f"| {curve.across} | {curve.unit}s a second | daemon | Redis | both |",
        "|--:|--:|--:|--:|--:|",
    ]
    for place, one in zip(curve.places, curve.taken, strict=True):
        lines.append(f"| {place:,} | {one.rate:,.0f} | {one.cpu_us:.0f} | {one.redis_us:.0f} | {one.cost_us:.0f} |")
    if curve.weight:
        lines.append(f"\neach that waits: {curve.weight:,.0f} bytes of Redis' memory")
    return "\n".join(lines)


def draw(curve: Curve, directory: Path) -> None:
    series = [
        Series("both", [one.cost_us for one in curve.taken]),
        Series("daemon", [one.cpu_us for one in curve.taken]),
        Series("Redis", [one.redis_us for one in curve.taken]),
    ]
    text = chart(curve.title, curve.across, curve.places, series)
    (directory / f"growth-{curve.name}.svg").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
