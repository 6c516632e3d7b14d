"""Whether a subscription reaches an address, and if not, why: `subscriptions test`.

Pure. In: a subscription, a mailbox, perhaps an event, the operator's policy. Out: yes or no with reasons, in the order
in which the daemon asks: does it want a change, does it name the address, may it. What recipients wish, pauses and
suppressions stand in Redis and are not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kinto_notify import pointer
from kinto_notify.address import Mailbox
from kinto_notify.event import Event
from kinto_notify.pattern import PatternTimeout
from kinto_notify.refusal import refusals, told_refusal
from kinto_notify.subscription import FILE_HOME, Subscription, actor_address

_OUTSIDE = "the record names it, but it is outside KINTO_NOTIFY_ALLOWED_RECIPIENTS"


@dataclass(frozen=True, slots=True)
class Reach:
    """`named`: it is one of the recipients, or (None) only a record could name it. `reasons` say why not, or how."""

    named: bool | None
    reached: bool
    reasons: tuple[str, ...]


def reach(
    subscription: Subscription, mailbox: Mailbox, event: Event | None, allowed: Callable[[Mailbox], bool]
) -> Reach:
    """Ask one subscription; without an event, for any change that it wants."""
    listed = mailbox.key in {one.key for one in subscription.recipients}
    named = True if listed else None if subscription.from_record or subscription.groups else False
    if event is not None:
        return _of_event(subscription, mailbox, event, allowed, named)
    if named:
        return Reach(named, True, ("names it",))
    if named is None:
        places = ", ".join([*map(pointer.text, subscription.from_record), *("a group",) * bool(subscription.groups)])
        able = allowed(mailbox)
        return Reach(named, able, (f"names whom a change names in {places}", *(() if able else (_outside(False),))))
    return Reach(named, False, ("does not name it",))


def _of_event(
    subscription: Subscription, mailbox: Mailbox, event: Event, allowed: Callable[[Mailbox], bool], named: bool | None
) -> Reach:
    refused = tuple(map(told_refusal, refusals(subscription, event)))
    wanted, met, kept_out = 0, 0, 0
    for change in event.data.changes:
        try:
            if subscription.refuses(event, change) is not None:
                continue
        except PatternTimeout:
            break
        wanted += 1
        found = [one for _, boxes in subscription.audiences(event, change) for one in boxes if one.key == mailbox.key]
        if found:
            ours = found[0] in subscription.recipients or allowed(mailbox)
            met, kept_out = met + ours, kept_out + (not ours)
    if met:
        return Reach(named, True, (f"wants {met} of {len(event.data.changes)} changes, and names it", *refused))
    if not wanted:
        return Reach(named, False, ("does not want the event", *refused))
    if kept_out:
        return Reach(named, False, (_outside(True),))
    if named and subscription.exclude_actor and actor_address(event.data.user_id) == mailbox.key:
        return Reach(named, False, ("wants the event, but does not tell who did it (exclude_actor)",))
    return Reach(named, False, ("wants the event, but does not name it", *refused))


def _outside(named: bool) -> str:
    return _OUTSIDE if named else "it is outside KINTO_NOTIFY_ALLOWED_RECIPIENTS"


def home_in_words(home: str) -> str:
    """Say where a subscription is written down."""
    return "the operator's file" if home == FILE_HOME else f"hook at {home}"
