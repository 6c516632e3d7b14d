"""A hook that an event carries → a subscription: resolved, within the operator's policy.

Pure. In: a `CarriedHook`, the defaults of digests, the policy. Out: a `Hook`: the subscription and what was refused of
it. Fails with `SubscriptionError` that lists every problem, for a hook that never was checked on its way into the
metadata; such a one is skipped and reported, and harms nothing else.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from kinto_notify.address import Mailbox
from kinto_notify.digest import GROUP_BY_CHANGE, DigestRules
from kinto_notify.event import CarriedHook
from kinto_notify.hook_table import EMAILER, EMAILER_SUBJECT, Group, HookTable, emailer_mailbox, read_table
from kinto_notify.hook_text import OwnTexts
from kinto_notify.placeholder import parse_template
from kinto_notify.subscription import GroupOfChange, Presentation, Subscription
from kinto_notify.subscription_text import build, rules_of

#: kinto-emailer mails each change at once.
_AT_ONCE = DigestRules(wait=0, interval=0, group_by=(GROUP_BY_CHANGE,))
_EMAILER_SUBJECT = parse_template(EMAILER_SUBJECT)


@dataclass(frozen=True, slots=True)
class HookPolicy:
    """What the operator lets hooks do: whom they may write to, and as whom."""

    recipient: Callable[[Mailbox], bool]
    sender: Callable[[Mailbox], bool]


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook, ready to be asked. `refused` are the addresses that the policy keeps from it, the sender too."""

    subscription: Subscription
    refused: tuple[Mailbox, ...] = ()
    refused_sender: Mailbox | None = None


def parse_hook(carried: CarriedHook, *, defaults: DigestRules, policy: HookPolicy) -> Hook:
    """Read a hook; `SubscriptionError` lists all its problems."""
    table = read_table(carried.hook, key=carried.key, home=carried.home, index=carried.index, defaults=defaults)
    emailer = carried.key == EMAILER
    guard = _Guard(policy)
    groups = [one for one in table.recipients if isinstance(one, Group)]
    members = {uri: guard.within(_mailboxes(listed)) for uri, listed in carried.groups.items()}
    fixed = [mailbox for group in groups if group.fixed for mailbox in members.get(group.text, ())]
    listed = guard.within(one for one in table.recipients if isinstance(one, Mailbox))
    sender = table.sender if table.sender is None or policy.sender(table.sender) else None
    subscription = build(
        table,
        Presentation(
            home=carried.home,
            name=table.name or (f"emailer-{carried.index}" if emailer else str(carried.index)),
            sender=None if sender is None else str(sender),
        ),
        [*listed, *fixed, *(one for one in table.recipients if isinstance(one, tuple))],
        _AT_ONCE
        if emailer and "digest" not in table.model_fields_set
        else rules_of(table.digest, defaults, urgent=table.urgent),
        {"hook": _fingerprint(carried)},
    )
    subscription = replace(
        subscription,
        own=_own(table, emailer=emailer),
        groups=tuple(GroupOfChange(group.bucket, group.uri) for group in groups if not group.fixed),
        members=members,
        only=carried.changes,
    )
    return Hook(subscription, tuple(guard.refused), None if sender is table.sender else table.sender)


class _Guard:
    """Keeps what the policy allows, each inbox once, and notes what it does not."""

    def __init__(self, policy: HookPolicy) -> None:
        self._policy = policy
        self.refused: dict[Mailbox, None] = {}

    def within(self, found: Iterable[Mailbox]) -> tuple[Mailbox, ...]:
        kept: dict[str, Mailbox] = {}
        for mailbox in found:
            if self._policy.recipient(mailbox):
                kept.setdefault(mailbox.key, mailbox)
            else:
                self.refused[mailbox] = None
        return tuple(kept.values())


def _own(table: HookTable, *, emailer: bool) -> OwnTexts | None:
    subject = table.subject or (_EMAILER_SUBJECT if emailer else None)
    if subject is None and table.template is None:
        return None
    return OwnTexts(subject, table.template, emailer)


def _mailboxes(members: Iterable[str]) -> Iterator[Mailbox]:
    """Yield the members of a group that are addresses, without the name of the policy before them (`ldap:a@b`)."""
    for member in members:
        with contextlib.suppress(ValueError):
            yield emailer_mailbox(member.partition(":")[2] or member)


def _fingerprint(carried: CarriedHook) -> str:
    """Hash what is written: an edited hook is another text. Who is in its groups is no part of it."""
    written = json.dumps([carried.key, carried.hook], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:32]
