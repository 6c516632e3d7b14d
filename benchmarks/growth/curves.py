"""The curves: processor time a unit of work, while one number grows.

In: servers that are up. Out: curves, and what an event, an open digest and a delivery weigh. Each point is the median
of its rounds, the daemon's and Redis' processor time apart; the memory is what Redis says of itself. Long turns, which
are their own average, are taken once.
"""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from mails.contestant import until
from mails.events import stream_of
from mails.ours import EACH, Ours, gathered, to_all
from mails.stage import Stage
from mails.turns import WARM_UP, Taken, Work, take_turn

_SINGLES, _LONG = 1_000, 8_000
_OPEN = """
[[subscription]]
name = "open"
collection_id = "^open-"
recipients = ["ben@example.org"]
digest = { wait = "24h" }
"""


@dataclass(slots=True)
class Curve:
    """What one thing costs at each place; `weight` is in bytes, where something waited in Redis."""

    name: str
    title: str
    across: str
    unit: str
    places: list[int] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    weight: float = 0.0

    def add(self, place: int, taken: Taken) -> None:
        self.places.append(place)
        self.taken.append(taken)


class Holding(Ours):
    """One with digests that stay open, beside those that become mails."""

    opened = 0

    def settle(self) -> None:
        until(lambda: self.client.zcard(self.key("due")) == self.opened and not self._busy())

    def _busy(self) -> bool:
        return any(self.client.zcard(self.key(name)) for name in ("frozen", "deliveries"))

    def fill(self, number: int) -> None:
        """Open so many digests in all."""
        more = (
            text.replace(b"articles-", b"open-%d-" % number)
            for text in stream_of(number - self.opened, collections=number)
        )
        self.give(more)
        self.opened = number
        until(lambda: self.client.zcard(self.key("due")) == number, 240)
        # What was filed leaves the stream some seconds later.
        until(lambda: self.client.xlen(self.key("events")) == 0, 60)


def curves(found: Stage, rounds: int, largest: int) -> Iterator[Curve]:
    """Measure one after the other; `largest` bounds what waits."""
    yield of_events(found, rounds)
    yield of_recipients(found, rounds)
    yield of_open_digests(found, rounds, largest)
    yield of_backlog(found, rounds, largest)


def of_events(found: Stage, rounds: int) -> Curve:
    """So many events at once, each a mail of its own."""
    curve = Curve("events", "One mail for each event: µs of processor a mail", "events at once", "mail")
    with _ours(found, "events", EACH) as one:
        for number in (300, 1_000, 3_000, 10_000):
            curve.add(number, _measure(one, found, Work(number, number), rounds))
    return curve


def of_recipients(found: Stage, rounds: int) -> Curve:
    """One event to so many."""
    curve = Curve("recipients", "One event to many: µs of processor a mail", "recipients of an event", "mail")
    for number in (1, 10, 100, 1_000, 10_000):
        events = max(_SINGLES // number, 1)
        with _ours(found, f"to-{number}", to_all(number)) as one:
            curve.add(number, _measure(one, found, Work(events, events * number, events), rounds))
            if number == 10_000:
                curve.weight = _weight_of_deliveries(found, one, number)
    return curve


def of_open_digests(found: Stage, rounds: int, largest: int) -> Curve:
    """Single mails beside so many digests that wait."""
    curve = Curve("open-digests", "Mails beside open digests: µs of processor a mail", "open digests", "mail")
    table = EACH.replace('name = "each"', 'name = "each"\ncollection_id = "^articles-"') + _OPEN
    with contextlib.ExitStack() as ending:
        one = ending.enter_context(Holding(found.place, found.redis.url, found.sink.port, table, namespace="open"))
        take_turn(Taken(one, WARM_UP), found, WARM_UP, counts=False)
        before = _used(found)
        for number in _decades(1_000, largest):
            one.fill(number)
            curve.weight = (_used(found) - before) / number
            curve.add(number, _measure(one, found, Work(_SINGLES, _SINGLES), rounds))
    return curve


def of_backlog(found: Stage, rounds: int, largest: int) -> Curve:
    """So many events wait, and become ten digests."""
    curve = Curve("backlog", "A backlog into ten digests: µs of processor an event", "events that wait", "event")
    for number in _decades(1_000, largest):
        with _ours(found, f"backlog-{number}", gathered(number // 10)) as one:
            curve.add(number, _measure(one, found, Work(number, 10, 10), rounds))
    one = Ours(found.place, found.redis.url, found.sink.port, namespace="nobody")
    before = _used(found)
    one.give(stream_of(10_000))
    curve.weight = (_used(found) - before) / 10_000
    one.client.delete(one.key("events"))
    one.client.close()
    return curve


@contextlib.contextmanager
def _ours(found: Stage, namespace: str, table: str) -> Iterator[Ours]:
    with Ours(found.place, found.redis.url, found.sink.port, table, namespace=namespace) as one:
        yield one


def _measure(one: Ours, found: Stage, work: Work, rounds: int) -> Taken:
    taken = Taken(one, work)
    if work.units < _LONG:
        take_turn(taken, found, work, counts=False)
    for _ in range(rounds if work.units < _LONG else 1):
        take_turn(taken, found, work)
    return taken


def _weight_of_deliveries(found: Stage, one: Ours, number: int) -> float:
    """Let the sink say nothing until all of them wait."""
    found.sink.signal(signal.SIGSTOP)
    goal = found.sink.count() + number
    before = _used(found)
    one.give(stream_of(1))
    until(lambda: one.client.zcard(one.key("deliveries")) == number)
    grown = _used(found) - before
    found.sink.signal(signal.SIGCONT)
    found.sink.wait_for(goal, limit=120)
    one.settle()
    return grown / number


def _used(found: Stage) -> int:
    return int(found.client.info("memory")["used_memory"])


def _decades(first: int, last: int) -> list[int]:
    found = [first]
    while found[-1] * 10 <= last:
        found.append(found[-1] * 10)
    return found
