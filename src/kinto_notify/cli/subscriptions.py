"""`kinto-notify subscriptions`: what is subscribed, in words; and why an address gets mail, or does not."""

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from kinto_notify.cli.event_file import read_event
from kinto_notify.cli.moment import shown_moment
from kinto_notify.errors import BadInput
from kinto_notify.store.client import Client
from kinto_notify.store.pauses import EVERY, Pauses
from kinto_notify.store.preferences import Preferences, key_of
from kinto_notify.store.recent import Recent, recent
from kinto_notify.store.recipients import Recipients

if TYPE_CHECKING:
    from kinto_notify.address import Mailbox
    from kinto_notify.settings import Settings
    from kinto_notify.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Known:
    """What stands in Redis of an address: `hindrances` of all mail, and of subscriptions by their identity."""

    every: tuple[str, ...]
    hindrances: dict[str, tuple[str, ...]]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its two acts."""
    parser = commands.add_parser(
        "subscriptions", help="list what is subscribed, or say why an address gets mail or not", description=__doc__
    )
    acts = parser.add_subparsers(title="acts", metavar="ACT", required=True)
    listing = acts.add_parser("list", help="list all: filters, digests, state")
    testing = acts.add_parser("test", help="say which subscriptions reach an address, and why others do not")
    testing.add_argument("address", metavar="ADDRESS")
    testing.add_argument("event", metavar="EVENT.json", nargs="?", help="an event as in the stream, or - for stdin")
    for act, run in ((listing, _run_list), (testing, _run_test)):
        act.add_argument("--json", action="store_true", help="print JSON")
        act.set_defaults(run=run)


def _run_list(arguments: argparse.Namespace) -> int:
    """Print all of ours, and the hooks of which something is open; 69 if Redis does not answer."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.settings import load_settings

    settings = load_settings()
    ours = load_catalogue(settings).subscriptions
    found = [*_described(ours, seen := asyncio.run(_asked(settings))), *_hooks(ours, seen)]
    for one in found:
        if arguments.json:
            print(json.dumps(one, ensure_ascii=False))
            continue
        print(_shown(f"{one['name']}: {one['state']}, {one['open_digests']} open digests"))
        for key in ("home", "recipients", "wants", "mails"):
            if key in one:
                print(_shown(f"  {key:<10} {one[key]}"))
    return 0


async def _asked(settings: "Settings") -> Recent:
    client = Client(settings.redis_url, settings.namespace)
    try:
        return await recent(client)
    finally:
        await client.close()


def _described(ours: "Sequence[Subscription]", seen: Recent) -> Iterator[dict[str, object]]:
    from kinto_notify.in_words import filters_in_words, rules_in_words
    from kinto_notify.reach import home_in_words

    for one in ours:
        yield {
            "name": one.presentation.name,
            "identity": one.identity,
            "home": home_in_words(one.presentation.home),
            "recipients": len(one.recipients),
            "wants": filters_in_words(one),
            "mails": rules_in_words(one.rules),
            **_state(one.identity, seen),
        }


def _hooks(ours: "Sequence[Subscription]", seen: Recent) -> Iterator[dict[str, object]]:
    """Yield what is known only by what it has open, or by its pause."""
    known = {one.identity for one in ours}
    for identity in sorted((seen.opened.keys() | seen.overview.paused.keys()) - known - {EVERY}):
        yield {"name": identity, "identity": identity, **_state(identity, seen)}


def _state(identity: str, seen: Recent) -> dict[str, object]:
    since = [seen.overview.paused[name] for name in (identity, EVERY) if name in seen.overview.paused]
    state = f"paused since {shown_moment(min(since))}" if since else "active"
    return {"state": state, "open_digests": seen.opened.get(identity, 0)}


def _run_test(arguments: argparse.Namespace) -> int:
    """Print why, subscription by subscription; 65 if the address or the event is none, 69 if Redis does not answer."""
    from kinto_notify.address import parse_mailbox
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.reach import reach
    from kinto_notify.settings import load_settings

    settings = load_settings()
    catalogue = load_catalogue(settings)
    try:
        mailbox = parse_mailbox(arguments.address)
    except ValueError as fault:
        raise BadInput(str(fault)) from None
    event = read_event(arguments.event) if arguments.event is not None else None
    asked = catalogue.subscriptions_of(event) if event is not None else list(catalogue.subscriptions)
    known = asyncio.run(_known(settings, mailbox, [one.identity for one in asked]))
    found = []
    for one in asked:
        told = reach(one, mailbox, event, catalogue.allows)
        hindrances = (*known.every, *known.hindrances[one.identity])
        gets = told.reached and not hindrances
        found.append({"subscription": one.identity, "gets": gets, **asdict(told), "hindrances": hindrances})
    if arguments.json:
        print(json.dumps({"address": mailbox.address, "subscriptions": found}, ensure_ascii=False))
        return 0
    for one_told in found:
        # Where a record or a group names recipients, an event is needed to know.
        reached = "gets mail" if one_told["named"] or event is not None else "may get mail"
        verdict = reached if one_told["gets"] else "no mail"
        print(_shown(f"{one_told['subscription']}: {verdict}"))
        for reason in (*one_told["reasons"], *one_told["hindrances"]):
            print(_shown(f"  {reason}"))
    if event is None:
        print("hooks in Kinto's metadata travel with events: give one to ask them too")
    return 0


async def _known(settings: "Settings", mailbox: "Mailbox", identities: Sequence[str]) -> Known:
    client = Client(settings.redis_url, settings.namespace)
    try:
        now = await client.time()
        recipient = await Recipients(client).get(mailbox)
        wishes = await Preferences(client).of(mailbox.fingerprint)
        paused = await Pauses(client).all()
    finally:
        await client.close()
    every = []
    if recipient is not None and recipient.suppressed is not None:
        every.append(f"suppressed since {shown_moment(recipient.suppressed)}: {recipient.reply}")
    if EVERY in paused:
        every.append(f"everything is paused since {shown_moment(paused[EVERY])}")
    hindrances = {}
    for identity in identities:
        unwanted = {wishes[key].unwanted(now) for key in (key_of(identity), key_of(EVERY)) if key in wishes} - {None}
        reasons = [f"its recipient wants none of it: {one}" for one in sorted(filter(None, unwanted))]
        if identity in paused:
            reasons.append(f"paused since {shown_moment(paused[identity])}")
        hindrances[identity] = tuple(reasons)
    return Known(tuple(every), hindrances)


def _shown(text: str) -> str:
    """Make texts of strangers fit for a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
