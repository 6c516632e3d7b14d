"""What a mail costs: ours, what one would take instead, and the bounds, interleaved in one run.

    python benchmarks/mail_cost.py [singles far digests backlog fanout latency two] [--rounds 5] [--profile]

In: nothing but this machine, with Postfix' `smtp-sink` and `smtp-source`. Out: for each row what everybody took, and at
the end the table in Markdown: ours, the reference of the same run, the ratio, what must be, and whether it holds. Ends
with 1 where something does not hold, with 69 where Postfix is missing. Other work on the machine disturbs it: the load
is told too.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

# What tests use to start servers is used here too.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mails import backlog, digests, fanout, far, latency, profile, singles, two
from mails.sink import Missing, find
from mails.turns import ROUNDS
from mails.verdict import HEAD, Line

#: Each takes the number of rounds; it returns its lines of the table, and what else there is to tell.
ROWS: Mapping[str, Callable[[int], tuple[list[Line], str]]] = {
    "singles": singles.measure,
    "far": far.measure,
    "digests": digests.measure,
    "backlog": backlog.measure,
    "fanout": fanout.measure,
    "latency": latency.measure,
    "two": two.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"only these of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", action="store_true", help="tell where our processor time goes, and nothing else")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    try:
        find("smtp-sink")
        find("smtp-source")
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 69
    if asked.profile:
        print(profile.profile())
        return 0
    began, table = time.monotonic(), []
    for name in asked.rows or ROWS:
        print(f"\n## {name} (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)\n", flush=True)
        lines, told = ROWS[name](asked.rounds)
        table += lines
        print("\n".join([told, "", HEAD, *map(str, lines)]), flush=True)
    judged = [line for line in table if line.must]
    held = sum(line.holds for line in judged)
    print(f"\n## All ({held} of {len(judged)} hold; {time.monotonic() - began:.0f} s)\n")
    print("\n".join([HEAD, *map(str, table)]))
    print("\nWhat a write to Kinto costs is the other part: make bench-writes")
    return 0 if held == len(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
