"""`make chaos SEED=1`: one run for each seed, a line each; exit code 1 when an invariant broke.

What a broken run left (logs, Redis' file) stays in the directory that it names; others are removed.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from chaos.plan import Size
from chaos.scene import Scene
from chaos.verdict import broken, summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    size = Size()
    parser.add_argument("--events", type=int, default=size.events)
    parser.add_argument("--seconds", type=float, default=size.seconds)
    parser.add_argument("--daemons", type=int, default=size.daemons)
    parser.add_argument("--lease", type=float, default=size.lease)
    given = parser.parse_args()
    # Asked to end, it takes its servers and daemons along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    size = Size(given.events, given.seconds, given.daemons, lease=given.lease)
    # Every seed has its run, whatever became of those before.
    held = [once(seed, size) for seed in given.seeds]
    return 0 if all(held) else 1


def once(seed: int, size: Size) -> bool:
    """Do one run; print what came of it."""
    directory = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    record = Scene(directory, seed, size).run()
    faults = broken(record)
    print(summary(record, not faults), flush=True)
    for fault in faults:
        print(f"  {fault}", flush=True)
    if faults:
        done = "; ".join(f"{one.at:.2f} {one.what}" for one in record.done)
        print(f"  done: {done}\n  logs and data: {directory}", flush=True)
    else:
        shutil.rmtree(directory)
    return not faults


if __name__ == "__main__":
    sys.exit(main())
