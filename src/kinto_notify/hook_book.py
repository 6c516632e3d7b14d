"""The hooks that events carry, read once each: event → subscriptions, and what the operator must hear of them.

In: events, the policy, the defaults of digests. Out: the subscriptions that an event's hooks make. It never fails: a
hook that can't be read is skipped, one whose patterns run too long again and again is switched off until its text
changes, and both become a `Remark`. Memory is bounded, however many hooks there are.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

from kinto_notify.digest import DigestRules
from kinto_notify.event import CarriedHook, Event
from kinto_notify.hook import Hook, HookPolicy, parse_hook
from kinto_notify.subscription import FILE_HOME, Subscription, identity
from kinto_notify.subscription_text import SubscriptionError

#: Of hooks as they were read; one more costs a quarter of a millisecond to read again.
_MAX_KNOWN = 2_000
#: ... as they are written. What was read takes about as much again; whoever edits a large hook again and again must not
#: fill the daemon's memory.
_MAX_BYTES = 16 * 1024 * 1024
#: So many events whose patterns ran too long, and a hook is not asked any more.
MAX_SLOW = 3
#: What was told of a hook is told again when this many others were told of in between.
_MAX_TOLD = 10_000
_MAX_DETAIL = 1_000
RemarkKind = Literal["unreadable", "recipient", "sender", "placeholder", "slow", "switched_off"]


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about one hook that its owner or the operator should know. `detail` may hold addresses."""

    identity: str
    kind: RemarkKind
    detail: str


class HookBook:
    """Reads hooks and remembers them by what is written; `defaults` are what digests of theirs begin with."""

    def __init__(self, defaults: DigestRules, policy: HookPolicy) -> None:
        self.defaults = defaults
        self._policy = policy
        self._known: OrderedDict[str, Hook | None] = OrderedDict()
        self._size = 0
        self._slow: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._told: OrderedDict[Remark, None] = OrderedDict()
        self._remarks: list[Remark] = []

    def subscriptions(self, event: Event) -> list[Subscription]:
        """Return what the hooks of this event ask for, as far as they can be read and are not switched off."""
        found = []
        for carried in event.data.hooks:
            hook = self._hook(carried)
            if hook is not None and (not self._slow or self._slow.get(_slot(hook.subscription), 0) < MAX_SLOW):
                found.append(replace(hook.subscription, only=carried.changes))
        return found

    def tell(self, subscription: Subscription, kind: Literal["slow", "placeholder"], detail: str) -> None:
        """Note what filing an event found: it is the `tell` of `file_event`."""
        if kind == "slow" and subscription.presentation.home != FILE_HOME:
            self._slow_again(subscription, detail)
        else:
            self._tell(subscription.identity, kind, detail[:_MAX_DETAIL])

    def remarks(self) -> list[Remark]:
        """Return what was noted since the last call, each thing once."""
        found, self._remarks = self._remarks, []
        return found

    def _slow_again(self, subscription: Subscription, reason: str) -> None:
        slot = _slot(subscription)
        times = self._slow.pop(slot, 0) + 1
        self._slow[slot] = times
        if len(self._slow) > _MAX_KNOWN:
            self._slow.popitem(last=False)
        if times >= MAX_SLOW:
            self._tell(subscription.identity, "switched_off", f"{reason}, for {times} events")
        else:
            self._tell(subscription.identity, "slow", reason)

    def _hook(self, carried: CarriedHook) -> Hook | None:
        written = json.dumps([carried.home, carried.key, carried.index, carried.hook, carried.groups])
        if written in self._known:
            self._known.move_to_end(written)
            return self._known[written]
        try:
            hook: Hook | None = parse_hook(carried, defaults=self.defaults, policy=self._policy)
        except SubscriptionError as fault:
            hook = None
            self._tell(
                identity(carried.home, str(carried.index)), "unreadable", "; ".join(fault.problems)[:_MAX_DETAIL]
            )
        else:
            self._tell_refused(hook)
        self._remember(written, hook)
        return hook

    def _remember(self, written: str, hook: Hook | None) -> None:
        self._known[written] = hook
        self._size += len(written)
        while len(self._known) > _MAX_KNOWN or self._size > _MAX_BYTES:
            oldest, _ = self._known.popitem(last=False)
            self._size -= len(oldest)

    def _tell_refused(self, hook: Hook | None) -> None:
        if hook is None:
            return
        for mailbox in hook.refused:
            self._tell(hook.subscription.identity, "recipient", mailbox.address)
        if hook.refused_sender is not None:
            self._tell(hook.subscription.identity, "sender", hook.refused_sender.address)

    def _tell(self, home_and_name: str, kind: RemarkKind, detail: str) -> None:
        remark = Remark(home_and_name, kind, detail)
        if remark in self._told:
            return
        self._told[remark] = None
        if len(self._told) > _MAX_TOLD:
            self._told.popitem(last=False)
        self._remarks.append(remark)


def _slot(subscription: Subscription) -> tuple[str, bytes]:
    """Name a hook and its text, which may be long, by a hash: an edited one gets a new chance."""
    return subscription.identity, hashlib.sha256(subscription.text.encode("utf-8", "surrogatepass")).digest()
