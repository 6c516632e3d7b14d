"""One event, all subscriptions: what is added to which digest.

Pure: the decision that intake carries out. In: a validated event and the subscriptions. Out: `Filing`s, one for each
digest that the event touches, with counters of all its changes and lines of the first `max_listed`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kinto_notify.address import Mailbox
from kinto_notify.diff import cut_middle, differences
from kinto_notify.digest import EVERYONE, GROUP_BY_CHANGE, DigestKey, Filing, Line, count_key, group_key
from kinto_notify.event import Change, Event, current, words
from kinto_notify.hook_text import EVENT_WORK, RenderedTexts, Scribe
from kinto_notify.pattern import PatternTimeout
from kinto_notify.pointer import covers, find, parse
from kinto_notify.subscription import Subscription
from kinto_notify.wire import REDACTED, TITLE_FIELDS, title

#: Where the name of a thing stands, where its collection hints nothing.
_COMMON = tuple((name,) for name in TITLE_FIELDS)
_MAX_HINTS = 8
_MAX_TITLE = 120
#: Hears of a subscription whose pattern ran too long, or whose text names what a change does not have.
Tell = Callable[[Subscription, Literal["slow", "placeholder"], str], None]


@dataclass(slots=True)
class _Gathered:
    """What one event adds to one digest, while it is being counted."""

    subscription: Subscription
    recipients: tuple[Mailbox, ...]
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


def file_event(
    event: Event,
    subscriptions: Iterable[Subscription],
    allowed: Callable[[Mailbox], bool] = lambda mailbox: True,
    tell: Tell = lambda subscription, kind, detail: None,
) -> list[Filing]:
    """Decide where an event goes; `allowed` is the operator's policy for addresses that a record named.

    A subscription with a pattern that runs too long wants no further change of this event: 500 changes would cost 500
    times the limit, and everybody else waits. `tell` hears of it, and of the names that a hook's text asks for in vain.
    """
    subscriptions = list(subscriptions)
    share = EVENT_WORK // max(1, sum(one.own is not None for one in subscriptions))
    gathered: dict[DigestKey, _Gathered] = {}
    having = [(change, words(event, change)) for change in event.data.changes]
    counter = count_key(event.data.resource_name, event.data.action)
    for subscription in subscriptions:
        encoded: dict[int, str] = {}
        scribe = _scribe(event, subscription, share)
        once = f"{event.id} " if GROUP_BY_CHANGE in subscription.rules.group_by else ""
        for index, (change, known) in enumerate(having):
            try:
                if subscription.refuses(event, change, known) is not None:
                    continue
            except PatternTimeout as fault:
                tell(subscription, "slow", str(fault))
                break
            group = group_key(subscription.rules.group_by, known, change.id)
            for audience, mailboxes in subscription.audiences(event, change):
                if audience != EVERYONE and mailboxes[0] not in subscription.recipients and not allowed(mailboxes[0]):
                    continue
                key = DigestKey(
                    subscription.identity, subscription.text, group, audience, f"{once}{index}" if once else ""
                )
                digest = gathered.get(key)
                if digest is None:
                    digest = gathered[key] = _Gathered(subscription, mailboxes)
                elif subscription.groups:
                    # The members of a group that each change names for itself.
                    digest.recipients = tuple({one.key: one for one in (*mailboxes, *digest.recipients)}.values())
                digest.counts[counter] += 1
                if subscription.rules.collapse or len(digest.lines) < subscription.rules.max_listed:
                    if index not in encoded:
                        encoded[index] = render_line(event, change, subscription, scribe, tell).encode()
                    digest.lines.append(encoded[index])
    return [
        Filing(key, one.subscription.rules, one.recipients, dict(one.counts), tuple(one.lines))
        for key, one in gathered.items()
    ]


def render_line(
    event: Event,
    change: Change,
    subscription: Subscription,
    scribe: Scribe | None,
    tell: Tell = lambda subscription, kind, detail: None,
) -> Line:
    """Return what a mail of this subscription shows of a change: nothing of its data where `content` is none.

    `scribe` renders the texts that the subscription brings along.
    """
    data = event.data
    action = data.action
    told = subscription.presentation.content == "full"
    after = None if action == "delete" else change.new
    own = RenderedTexts() if scribe is None else scribe.render(change)
    if own.spent:
        tell(subscription, "placeholder", "too much text for one event: its further changes are told in our words")
    elif own.missing:
        tell(subscription, "placeholder", f"empty: {', '.join(sorted(set(own.missing)))}")
    # A mail that brings its own text lists no fields: they would only be stored.
    listed = told and own.text is None
    fields, more = differences(change.old, after, subscription.redact) if listed else ((), 0)
    return Line(
        action=action,
        resource_name=data.resource_name,
        id=change.id,
        uri=change.uri,
        title=_title(event, change, subscription) if told else "",
        user_id=data.user_id,
        timestamp=_timestamp(event, change),
        fields=fields,
        more_fields=more,
        truncated=change.truncated,
        maybe=data.maybe,
        children=tuple(sorted(data.children.items())),
        subject=own.subject,
        text=own.text,
        hidden=listed and bool(subscription.redact) and _number(change, after) > len(fields) + more,
    )


def _number(change: Change, after: Mapping[str, object] | None) -> int:
    """Count the fields that differ, the redacted ones among them."""
    fields, more = differences(change.old, after)
    return len(fields) + more


def _scribe(event: Event, subscription: Subscription, work: int) -> Scribe | None:
    if subscription.own is None:
        return None
    full = subscription.presentation.content == "full"
    return Scribe(subscription.own, event, redact=subscription.redact, full=full, work=work)


def _title(event: Event, change: Change, subscription: Subscription) -> str:
    document = current(change, event.data.action)
    hinted = [parse(one) for one in event.data.title_fields[:_MAX_HINTS] if one.startswith("/")]
    for path in (*hinted, *_COMMON):
        value = title(find(document, path))
        if value and value != REDACTED and not covers(subscription.redact, path):
            return cut_middle(" ".join(value.split()), _MAX_TITLE)
    if event.data.title and len(event.data.changes) == 1 and _may_show_title(subscription):
        return cut_middle(" ".join(event.data.title.split()), _MAX_TITLE)
    return ""


def _may_show_title(subscription: Subscription) -> bool:
    # The listener took it from a field it does not name: with anything redacted it could be that one.
    return not subscription.redact


def _timestamp(event: Event, change: Change) -> int:
    for document in (change.new, change.old):
        stamp = document.get("last_modified") if document else None
        if isinstance(stamp, int) and not isinstance(stamp, bool):
            return stamp
    return event.data.timestamp
