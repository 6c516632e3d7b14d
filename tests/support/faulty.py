"""The installed command with a crash point built in: `python -P faulty.py run`, told by the environment.

    FAULTY=frozen:kill:2     at the second passage of the point `frozen` the process gets SIGKILL; other acts: `term`,
                             `stop`, `raise`; `ahead`, `back`: the clock of this host jumps by a day
    FAULTY_LEASE=3           leases last three seconds instead of a minute, and what is ambiguous waits as long

The package holds nothing of this: named functions at the boundaries of its rooms are wrapped before the command starts.
A point that is not there any more ends the process at once, with its name.
"""

import functools
import hashlib
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

#: Each point: where it is (module, class, method), and whether the process is hit before the call or after it.
POINTS = {
    "read": ("kinto_notify.store.stream", "Stream", "read", "after"),
    "filed": ("kinto_notify.store.stream", "Stream", "file", "after"),
    "frozen": ("kinto_notify.store.digests", "Digests", "freeze", "after"),
    "fanned out": ("kinto_notify.store.digests", "Digests", "fan_out", "after"),
    "leased": ("kinto_notify.store.deliveries", "Deliveries", "lease", "after"),
    "opened": ("kinto_notify.smtp.session", "Session", "open", "after"),
    "before the body": ("kinto_notify.ledger", "Ledger", "ours", "before"),
    "replied": ("kinto_notify.ledger", "Ledger", "settle", "before"),
    "settled": ("kinto_notify.store.deliveries", "Deliveries", "settle", "after"),
    "composing": ("kinto_notify.compose.composer", "Composer", "body", "before"),
}
#: Of these scripts a point stands in the middle: `<script> half` is hit when half of the request is written to Redis,
#: `<script> unanswered` when all of it is, and its answer was not read.
SCRIPTS = ("file", "fan_out", "settle")
#: What lasts a minute (ten where a mail is ambiguous), in the order in which modules must be imported to hear of it.
TIMES = (
    ("kinto_notify.delivery", "AMBIGUOUS_DELAY_MS", 1000),
    ("kinto_notify.store.stream", "CLAIM_IDLE_MS", 1000),
    ("kinto_notify.store.digests", "LEASE_MS", 1000),
    ("kinto_notify.store.deliveries", "LEASE_MS", 1000),
    ("kinto_notify.intake", "CLAIM_EVERY_S", 0.25),
)


SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}
DAYS = {"ahead": 1, "back": -1}


class Hit:
    """What happens to the process at the n-th passage of its point."""

    def __init__(self, act: str, passage: int) -> None:
        self._act, self._left = act, passage

    def __call__(self) -> None:
        self._left -= 1
        if self._left != 0:
            return
        if self._act == "raise":
            raise RuntimeError("a bug of the test's")
        if self._act in DAYS:
            time_machine.travel(datetime.now(UTC) + timedelta(days=DAYS[self._act]), tick=True).start()
        else:
            os.kill(os.getpid(), SIGNALS[self._act])

    @property
    def next(self) -> bool:
        """Whether the next passage is the one."""
        return self._left == 1


def _something(result: Any) -> bool:
    """Whether a call did anything: a room that looks up each second passes no point by that."""
    return result is None or bool(getattr(result, "deliveries", result))


def wrap(point: str, hit: Hit) -> None:
    """Put a hit into one of `POINTS`."""
    module, name, method, when = POINTS[point]
    owner = getattr(importlib.import_module(module), name)
    inner = getattr(owner, method)

    @functools.wraps(inner)
    async def later(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            hit()
        result = await inner(*arguments, **named)
        if when == "after" and _something(result):
            hit()
        return result

    @functools.wraps(inner)
    def now(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            hit()
        result = inner(*arguments, **named)
        if when == "after" and _something(result):
            hit()
        return result

    setattr(owner, method, later if inspect.iscoroutinefunction(inner) else now)


def wrap_script(script: str, where: str, hit: Hit) -> None:
    """Put a hit into the middle of a script's request to Redis."""
    from redis.asyncio.connection import AbstractConnection

    from kinto_notify.store.client import script_text

    text = script_text(script).encode()
    digest = hashlib.sha1(text).hexdigest().encode()
    inner: Callable[..., Awaitable[None]] = AbstractConnection.send_packed_command

    async def send(self: Any, command: Any, check_health: bool = True) -> None:
        packed = command if isinstance(command, bytes | str) else b"".join(command)
        sent = packed.encode() if isinstance(packed, str) else packed
        if digest not in sent and text not in sent:
            await inner(self, command, check_health)
            return
        if where == "half" and hit.next:
            await inner(self, sent[: len(sent) // 2], check_health)
        else:
            await inner(self, command, check_health)
        hit()

    AbstractConnection.send_packed_command = send  # type: ignore[method-assign]


def shorten(seconds: float) -> None:
    """Give leases and claims so many seconds."""
    assert "kinto_notify.ledger" not in sys.modules, "it has read its lease already"
    for module, name, factor in TIMES:
        loaded = importlib.import_module(module)
        assert hasattr(loaded, name), f"{module} has no {name} any more"
        setattr(loaded, name, type(getattr(loaded, name))(seconds * factor))


def main() -> int:
    if lease := os.environ.get("FAULTY_LEASE"):
        shorten(float(lease))
    if told := os.environ.get("FAULTY"):
        point, act, passage = told.split(":")
        script, _, where = point.rpartition(" ")
        if point in POINTS:
            wrap(point, Hit(act, int(passage)))
        else:
            assert script in SCRIPTS, f"there is no point {point!r}"
            assert where in ("half", "unanswered"), f"there is no point {point!r}"
            wrap_script(script, where, Hit(act, int(passage)))
    from kinto_notify.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
