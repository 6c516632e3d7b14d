"""An idle daemon: from one event in Redis to its mail at the sink, and what it takes of the processor doing nothing."""

import random
import statistics
import time

from mails.events import stream_of
from mails.ours import Ours
from mails.stage import stage
from mails.verdict import Line, below

NUMBER, WARM_UP = 250, 20
P50_MS, P99_MS, IDLE_PERCENT = 20, 60, 0.5
IDLE_S = 20.0
#: Between two events, so that the daemon is idle, and no two wait for the same tick of anything.
PAUSE_S = (0.03, 0.13)
_LOOK_S = 0.0002


def measure(_rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and the quantiles."""
    with stage() as found, Ours(found.place, found.redis.url, found.sink.port) as ours:
        times = []
        for one in stream_of(WARM_UP + NUMBER):
            time.sleep(random.uniform(*PAUSE_S))
            goal, began = found.sink.count() + 1, time.perf_counter()
            ours.give([one])
            times.append((found.sink.wait_for(goal, limit=30, every=_LOOK_S) - began) * 1000)
        ours.settle()
        before = ours.processor()
        time.sleep(IDLE_S)
        idle = (ours.processor() - before) / IDLE_S * 100
    cuts = statistics.quantiles(times[WARM_UP:], n=100)
    what = f"idle daemon, one event to its mail, {NUMBER} of them"
    lines = [
        below(f"{what}: p50", cuts[49], P50_MS, "ms", places=1),
        below(f"{what}: p99", cuts[98], P99_MS, "ms", places=1),
        below(f"idle daemon, processor over {IDLE_S:.0f} s", idle, IDLE_PERCENT, "%", places=2),
    ]
    told = (50, 75, 90, 95, 99)
    head = f"| {' | '.join(f'p{at}' for at in told)} | most |\n|{'--:|' * (len(told) + 1)}"
    return lines, f"{head}\n| {' | '.join(f'{cuts[at - 1]:.1f} ms' for at in told)} | {max(times[WARM_UP:]):.1f} ms |"
