"""Hooks and an event → what each hook makes of it: matched or not, why, its mails, and what is wrong with it.

Pure, and by the same steps as in the daemon. The members of a group are not known outside Kinto: each group stands for
itself as a recipient. What cannot be told from the input is `BadInput`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kinto_notify.catalogue import Catalogue
from kinto_notify.compose.composer import Composer, Parts
from kinto_notify.digest import DigestRules, FrozenDigest
from kinto_notify.dry_run import gather
from kinto_notify.errors import BadInput
from kinto_notify.event import CarriedHook, Event
from kinto_notify.filing import file_event
from kinto_notify.hook import Hook, HookPolicy, parse_hook
from kinto_notify.hook_check import check_metadata
from kinto_notify.hook_table import EMAILER, NOTIFY, Group, read_table
from kinto_notify.hook_text import context_of
from kinto_notify.placeholder import render
from kinto_notify.refusal import Refusal, refusals
from kinto_notify.subscription import identity
from kinto_notify.subscription_text import SubscriptionError

_HOME = re.compile(r"/buckets/[^/]+(/collections/[^/]+)?\Z")
#: A group as an address (RFC 2606: nobody can have it), until it is shown.
_STAND_INS = "group.invalid"
#: As in kinto-emailer.
_UNHEARD = ("bucket", "group")


@dataclass(frozen=True, slots=True)
class TrialMail:
    """A mail that a hook would make of the event at once; groups stand among the recipients as their URIs."""

    to: tuple[str, ...]
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What one hook makes of an event. `mails` may be empty for one that matches: nobody may hear of it then."""

    hook: str
    matches: bool
    refused: tuple[Refusal, ...] = ()
    mails: tuple[TrialMail, ...] = ()
    problems: tuple[str, ...] = ()


def home_of(event: Event) -> str:
    """Return the URI of what the event is nearest to: its collection, else its bucket."""
    data = event.data
    ids = {data.resource_name: data.changes[0].id} if data.changes else {}
    bucket, collection = data.bucket_id or ids.get("bucket"), data.collection_id or ids.get("collection")
    if not bucket:
        raise BadInput("the event names no bucket: say where the hooks stand with --home /buckets/ID")
    return f"/buckets/{bucket}/collections/{collection}" if collection else f"/buckets/{bucket}"


def metadata_of(document: object, home: str) -> tuple[Mapping[str, object], list[str]]:
    """Return the sections of a metadata file (or of a list of hooks), and what Kinto would refuse of them with 400."""
    if not _HOME.match(home):
        raise BadInput(f"{home!r} is no home of hooks: /buckets/ID or /buckets/ID/collections/ID")
    if isinstance(document, list):
        document = {NOTIFY: {"hooks": document}}
    if isinstance(document, dict) and isinstance(document.get("data"), dict):
        document = document["data"]
    if not isinstance(document, dict) or not {EMAILER, NOTIFY} & document.keys():
        raise BadInput(f'the hooks are neither a list nor an object with "{NOTIFY}" or "{EMAILER}"')
    return document, list(check_metadata(document, home).lines)


def try_hooks(metadata: Mapping[str, object], home: str, event: Event, book: Catalogue, mails: Composer) -> list[Trial]:
    """Ask each hook that can be read at all."""
    return [_try(one, event, book, mails) for one in _carried(metadata, home)]


def _carried(metadata: Mapping[str, object], home: str) -> Iterator[CarriedHook]:
    for key in (EMAILER, NOTIFY):
        section = metadata.get(key)
        hooks = section.get("hooks") if isinstance(section, dict) else None
        for index, hook in enumerate(hooks if isinstance(hooks, list) else ()):
            if isinstance(hook, dict):
                yield CarriedHook(home, hook, key, index)


def _try(carried: CarriedHook, event: Event, book: Catalogue, mails: Composer) -> Trial:
    defaults = book.hooks.defaults
    stand_ins: dict[str, str] = {}
    try:
        groups = list(_groups(carried, event, defaults))
        stand_ins = {_stand_in(uri): uri for uri in groups}
        hook = parse_hook(
            replace(carried, groups={uri: (_stand_in(uri),) for uri in groups}),
            defaults=defaults,
            policy=HookPolicy(lambda one: one.domain == _STAND_INS or book.policy.recipient(one), book.policy.sender),
        )
    except SubscriptionError as fault:
        return Trial(identity(carried.home, str(carried.index)), matches=False, problems=fault.problems)
    name = hook.subscription.identity
    if carried.key == EMAILER and event.data.resource_name in _UNHEARD:
        unheard = Refusal("resource_name", ("record", "collection"), f"{event.data.resource_name!r}")
        return Trial(name, matches=False, refused=(unheard,), problems=tuple(_refused(hook)))
    told: list[str] = []
    filings = file_event(
        event,
        (hook.subscription,),
        lambda one: one.domain == _STAND_INS or book.allows(one),
        lambda subscription, kind, detail: told.append(f"{kind}: {detail}"),
    )
    refused = refusals(hook.subscription, event)
    matches = sum(one.changes for one in refused) < len(event.data.changes) and not _slow(told)
    made = tuple(_mail(one, mails, stand_ins) for one in gather(filings, event.made or event.data.timestamp))
    problems = (*_refused(hook), *dict.fromkeys(told), *mails.problems(hook.subscription.presentation))
    return Trial(name, matches, tuple(refused), made, problems)


def _slow(told: list[str]) -> bool:
    return any(one.startswith("slow: ") for one in told)


def _groups(carried: CarriedHook, event: Event, defaults: DigestRules) -> Iterator[str]:
    """Yield the URI of each group that the hook names, for each change."""
    table = read_table(carried.hook, key=carried.key, home=carried.home, index=carried.index, defaults=defaults)
    for group in (one for one in table.recipients if isinstance(one, Group)):
        if group.fixed:
            yield group.text
            continue
        for change in event.data.changes:
            context = context_of(event, change, emailer=carried.key == EMAILER)
            yield render(group.uri, context).text


def _stand_in(uri: str) -> str:
    return f"{hashlib.sha256(uri.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}@{_STAND_INS}"


def _refused(hook: Hook) -> Iterator[str]:
    """Yield what the operator's policy keeps from a hook."""
    for mailbox in hook.refused:
        yield f"recipient: {mailbox.address} is outside KINTO_NOTIFY_ALLOWED_RECIPIENTS"
    if hook.refused_sender is not None:
        yield f"sender: {hook.refused_sender.address} is outside KINTO_NOTIFY_ALLOWED_SENDERS"


def _mail(digest: FrozenDigest, mails: Composer, stand_ins: Mapping[str, str]) -> TrialMail:
    parts: Parts = mails.parts(digest)
    return TrialMail(
        tuple(stand_ins.get(one.address, str(one)) for one in digest.recipients), parts.subject, parts.text
    )
