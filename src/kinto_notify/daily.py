"""One mail a day, for the recipients who want no more: their share of what an event adds to digests.

Pure. In: the filings of one event, and who wants which subscription daily. Out: filings in which these recipients have
a digest of their own, of all groups together, due at the first time of day at which the subscription may be mailed.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from kinto_notify.digest import DigestKey, DigestRules, Filing
from kinto_notify.timetable import Timetable
from kinto_notify.wish import subscription_key

#: By the subscription's key: the fingerprints of those who want one mail a day of it.
Dailies = Mapping[str, Set[str]]
#: Where the subscription names no time of day: nine in the morning, in its time zone.
_NINE = 9 * 60


def with_dailies(filings: Sequence[Filing], dailies: Dailies) -> list[Filing]:
    """Take those who want one mail a day out of the filings of an event, and give each a filing of their own.

    A digest that was open already keeps them: what it told before they chose must not get lost.
    """
    found: list[Filing] = []
    personal: dict[DigestKey, Filing] = {}
    for filing in filings:
        chosen = dailies.get(subscription_key(filing.key.identity), frozenset()) if dailies else frozenset()
        leaving = tuple(one for one in filing.recipients if one.fingerprint in chosen) if chosen else ()
        staying = tuple(one for one in filing.recipients if one not in leaving) if leaving else filing.recipients
        if staying:
            found.append(replace(filing, recipients=staying, leaving=leaving) if leaving else filing)
        for one in leaving:
            # No address has a blank: no other audience is called so.
            key = DigestKey(filing.key.identity, filing.key.text, (), f"daily {one.key}")
            mine = replace(filing, key=key, rules=daily_rules(filing.rules), recipients=(one,))
            personal[key] = _joined(personal[key], mine) if key in personal else mine
    return [*found, *personal.values()]


def daily_rules(rules: DigestRules) -> DigestRules:
    """Return the rules of a personal digest: once a day, on the days of the subscription, not in its quiet hours."""
    given = rules.timetable or Timetable(rules.zone)
    return replace(rules, wait=0, interval=0, max_events=None, timetable=replace(given, at=given.at[:1] or (_NINE,)))


def _joined(one: Filing, more: Filing) -> Filing:
    counts = dict(one.counts)
    for kind, number in more.counts.items():
        counts[kind] = counts.get(kind, 0) + number
    lines = one.lines + more.lines
    return replace(one, counts=counts, lines=lines if one.rules.collapse else lines[: one.rules.max_listed])
