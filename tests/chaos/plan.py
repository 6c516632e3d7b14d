"""What happens when: the faults of one run, drawn from its seed. Pure."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How large a run is: events over so many seconds, to three recipients each; faults of daemons and of Redis."""

    events: int = 6_000
    seconds: float = 60.0
    daemons: int = 3
    faults: int = 25
    redis_kills: int = 3
    #: The part of all SMTP transactions that fail.
    smtp_faults: float = 0.03
    #: How long leases last, in seconds; 0: a minute, as for everybody (then a run takes a quarter of an hour).
    lease: float = 8.0


@dataclass(frozen=True)
class Fault:
    """One fault: `kill` (SIGKILL, started again after `pause`), `stop` (SIGSTOP for `pause`), or `redis` killed."""

    at: float
    kind: str
    daemon: int
    pause: float


def faults(seed: int, size: Size) -> list[Fault]:
    """Draw the faults of a run, in their order."""
    dice = random.Random(seed)
    drawn = [_of_a_daemon(dice, size) for _ in range(size.faults)]
    drawn += [Fault(_moment(dice, size), "redis", 0, dice.uniform(0.0, 1.0)) for _ in range(size.redis_kills)]
    return sorted(drawn, key=lambda one: one.at)


def _of_a_daemon(dice: random.Random, size: Size) -> Fault:
    at, daemon, kind = _moment(dice, size), dice.randrange(size.daemons), dice.random()
    if kind < 0.7:
        return Fault(at, "kill", daemon, dice.uniform(0.0, 1.0))
    # One stop of three outlasts the lease: it wakes up as a zombie, and another one holds what was its own.
    return Fault(at, "stop", daemon, (size.lease or 60.0) * 1.25 if kind > 0.9 else dice.uniform(0.2, 2.0))


def _moment(dice: random.Random, size: Size) -> float:
    # Not in the first second: the daemons are about to start.
    return dice.uniform(1.0, size.seconds)
