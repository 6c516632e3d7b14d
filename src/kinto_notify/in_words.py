"""A subscription in words: which changes it wants, and when it mails.

Pure. In: a subscription or its digest rules. Out: one line of English for the operator, in the words of its own table,
so that it can be compared with the file. Values of a `where` condition are shown: the operator wrote them.
"""

from collections.abc import Iterator

from kinto_notify import pointer
from kinto_notify.digest import GROUP_BY_CHANGE, DigestRules
from kinto_notify.duration import format_duration
from kinto_notify.schedule import DAYS
from kinto_notify.subscription import Subscription, Where
from kinto_notify.timetable import EVERY_DAY, Timetable


def filters_in_words(subscription: Subscription) -> str:
    """Say which changes it wants."""
    said = [f"{word} {' or '.join(one.text for one in wanted.words)}" for word, wanted in subscription.filters]
    said += [_condition(one) for one in subscription.where]
    if subscription.changed:
        said.append(f"{' or '.join(pointer.text(one) for one in subscription.changed)} changed")
    if subscription.exclude_actor:
        said.append("not to who did it")
    return ", ".join(said) or "every change"


def _condition(one: Where) -> str:
    patterns = tuple(word.text for word in one.patterns.words) if one.patterns is not None else ()
    wanted = dict.fromkeys([*map(str, one.values), *patterns])
    return f"where {pointer.text(one.path)} is {' or '.join(wanted)}"


def rules_in_words(rules: DigestRules) -> str:
    """Say when it mails, and what goes into one mail."""
    return ", ".join([*_when(rules), *_what(rules)])


def _when(rules: DigestRules) -> Iterator[str]:
    table = rules.timetable
    if table is not None and table.at:
        yield f"at {' and '.join(map(_clock, table.at))}{_days(table)} ({table.zone.key})"
    elif not rules.wait and not rules.interval:
        yield "at once"
    else:
        yield f"{format_duration(rules.wait)} after the first change"
        if rules.interval:
            most = f" to {format_duration(rules.max_wait)}" if rules.max_wait > rules.interval else ""
            yield f"at most every {format_duration(rules.interval)}{most}"
    if rules.max_events is not None:
        yield f"sooner with {rules.max_events} changes"
    if table is not None and not table.at and table.days != EVERY_DAY:
        yield f"{_days(table).strip()} ({table.zone.key})"
    if table is not None and table.quiet is not None:
        yield f"not from {_clock(table.quiet[0])} to {_clock(table.quiet[1])} ({table.zone.key})"


def _what(rules: DigestRules) -> Iterator[str]:
    if GROUP_BY_CHANGE in rules.group_by:
        yield "one mail for each change"
    elif rules.group_by:
        yield f"one mail for each {' and '.join(rules.group_by)}"
    if rules.collapse:
        yield "what changed in the end"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _days(table: Timetable) -> str:
    return "" if table.days == EVERY_DAY else f" on {' '.join(DAYS[day] for day in sorted(table.days))}"
