"""Why a subscription does not want a change: the filter that failed first, what it wants, what it met.

Pure. Of filter words (ids, actions, users) the value is told; of a record's content only its kind. A pattern that runs
too long is a refusal too, since it is one in the daemon.
"""

from collections import Counter
from dataclasses import dataclass

from kinto_notify import pointer
from kinto_notify.event import Change, Event, current, words
from kinto_notify.pattern import PatternTimeout
from kinto_notify.pointer import MISSING
from kinto_notify.subscription import Subscription

_KINDS = ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (list, "a list"), (dict, "an object"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A filter that did not hold, for so many changes of an event."""

    filter: str
    wanted: tuple[str, ...]
    seen: str
    changes: int = 1


def refusals(subscription: Subscription, event: Event) -> list[Refusal]:
    """Return why changes of an event are not wanted, the most frequent reason first; empty if all are."""
    found: Counter[Refusal] = Counter()
    for change in event.data.changes:
        try:
            name = subscription.refuses(event, change)
        except PatternTimeout as fault:
            found[Refusal(str(fault).partition(": ")[0], (), "a value for which its pattern runs too long")] += 1
            break
        if name is not None:
            found[_told(subscription, event, change, name)] += 1
    return [Refusal(one.filter, one.wanted, one.seen, number) for one, number in found.most_common()]


def _told(subscription: Subscription, event: Event, change: Change, name: str) -> Refusal:
    for word, wanted in subscription.filters:
        if word == name:
            seen = words(event, change).get(word)
            return Refusal(name, tuple(one.text for one in wanted.words), "nothing" if seen is None else f"{seen!r}")
    for condition in subscription.where:
        if name == f"where {pointer.text(condition.path)}":
            patterns = condition.patterns.words if condition.patterns is not None else ()
            values = (*(f"{one!r}" for one in condition.values), *(one.text for one in patterns))
            document = current(change, event.data.action)
            return Refusal(name, tuple(dict.fromkeys(values)), _kind(pointer.find(document, condition.path)))
    if name == "changed":
        return Refusal(name, tuple(pointer.text(one) for one in subscription.changed), "none of them differs")
    return Refusal(name, ("what is below it",), "another place")


def _kind(value: object) -> str:
    if value is MISSING:
        return "nothing"
    return next((told for kinds, told in _KINDS if isinstance(value, kinds)), "null")


def told_refusal(refusal: Refusal) -> str:
    """Write a refusal in a line."""
    met = f"{refusal.filter}: wants {' or '.join(refusal.wanted)}; there is {refusal.seen}"
    return met + (f" ({refusal.changes} changes)" if refusal.changes > 1 else "")
