"""Where our processor time goes, for each mail and for each event.

In: nothing. Out: two tables for each, in Markdown: the daemon's time by room (`sampled.py`), and what Redis took for
which script. A profile disturbs what it looks at: only the shares are its own, the sum is that of the same run.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mails import redis_time
from mails.ours import EACH, Ours, gathered
from mails.stage import Stage, stage
from mails.turns import WARM_UP, Taken, Work, take_turn

SAMPLED = Path(__file__).with_name("sampled.py")
#: By what it is called for: the modules of ours that do it. What is in none of these stands for itself.
ROOMS = {
    "intake": ("intake", "event", "wire", "filing", "subscription", "pattern", "pointer", "diff", "digest", "daily"),
    "digester": ("digester", "compose", "address", "in_words", "timetable", "inbox_link"),
    "courier": ("courier", "ledger", "delivery", "last_look"),
    "smtp": ("smtp", "smarthost"),
    "store": ("store",),
    "telemetry": ("telemetry", "metrics", "masking"),
    # The loop runs in it, and calls what no module of ours asked for: what Redis and relays have sent.
    "event loop": ("cli", "generated", "__main__"),
}
_MODULES = 15


class Sampled(Ours):
    """The daemon under the sampler."""

    def __init__(self, found: Stage, subscriptions: str) -> None:
        super().__init__(found.place, found.redis.url, found.sink.port, subscriptions)
        self.told = self.directory / "sampled.json"

    def command(self) -> Sequence[str]:
        return [sys.executable, str(SAMPLED), str(self.told), "run"]


def room_of(module: str) -> str:
    """Return the room that a module of ours works for."""
    first = module.partition("/")[0]
    return next((room for room, modules in ROOMS.items() if first in modules), "the rest")


def profile() -> str:
    """Profile both."""
    mails, warm = Work(10_000, 10_000), WARM_UP
    events = Work(200_000, 10, 10)
    parts = [
        "### A mail of one event\n\n" + _profiled(EACH, mails, warm, "mail"),
        "### An event of a large digest\n\n" + _profiled(gathered(events.events // 10), events, None, "event"),
    ]
    return "\n\n".join(parts)


def _profiled(subscriptions: str, work: Work, warm: Work | None, unit: str) -> str:
    with stage() as found:
        daemon = Sampled(found, subscriptions)
        taken = Taken(daemon, work)
        with daemon:
            if warm is not None:
                take_turn(taken, found, warm, counts=False)
            redis_time.watch(found.client)
            take_turn(taken, found, work)
            of_redis = redis_time.told(found.client, work.units, unit)
        sampled = json.loads(daemon.told.read_text())
    return "\n\n".join([_by_room(sampled, taken, unit), f"Redis: {taken.redis_us:.0f} µs of the processor.", of_redis])


def _by_room(sampled: Mapping[str, Any], taken: Taken, unit: str) -> str:
    met: Counter[tuple[str, str]] = Counter()
    for module, inside, number in sampled["met"]:
        met[room_of(module), inside] += number
    a_sample = taken.cpu_us / met.total()
    collected = sampled["collected"] / taken.work.units * 1e6
    rooms: Counter[str] = Counter()
    for (room, _), number in met.items():
        rooms[room] += number
    lines = [
        f"The daemon: {taken.cpu_us:.0f} µs of the processor, {collected:.1f} µs of it the garbage collector's.\n",
        f"| room | µs a {unit} | share | its own code | and in |\n|---|--:|--:|--:|---|",
    ]
    for room, number in rooms.most_common():
        inside = [(what, count) for (of, what), count in met.most_common() if of == room and what][:4]
        told = ", ".join(f"{what} {count * a_sample:.0f}" for what, count in inside if count * a_sample >= 0.5)
        own = met[room, ""] * a_sample
        lines.append(f"| {room} | {number * a_sample:.1f} | {number / met.total():.0%} | {own:.1f} | {told} |")
    return "\n".join([*lines, "", _by_module(sampled, a_sample)])


def _by_module(sampled: Mapping[str, Any], a_sample: float) -> str:
    """Tell in one line which modules of ours take most, with what they call."""
    modules: Counter[str] = Counter()
    for module, _, number in sampled["met"]:
        modules[module] += number
    most = [f"`{module}` {number * a_sample:.0f}" for module, number in modules.most_common(_MODULES)]
    return f"By module, in µs: {', '.join(most)}."
