"""`kinto-notify preview`: a mail of a subscription or hook, of invented, given or recent changes; nothing is sent."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from kinto_notify.cli.event_file import read_event
from kinto_notify.errors import BadInput, MalformedEntry

if TYPE_CHECKING:
    from kinto_notify.address import Mailbox
    from kinto_notify.catalogue import Catalogue
    from kinto_notify.digest import FrozenDigest
    from kinto_notify.event import Event
    from kinto_notify.settings import Settings
    from kinto_notify.subscription import Subscription


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("preview", help="show a mail of a subscription, offline", description=__doc__)
    parser.add_argument("subscription", nargs="?", help="name of a subscription [the first one]")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--event", metavar="FILE", help="an event as in the stream: its mail, by its hooks too")
    source.add_argument("--recent", metavar="N", type=int, help="the last N entries of the stream: the newest mail")
    form = parser.add_mutually_exclusive_group()
    for name, text in (("text", "subject and text part [this]"), ("html", "HTML part"), ("eml", "the whole message")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.set_defaults(run=run, form="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the mail; 65 if there is no such subscription, or it makes no mail of the events."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.compose.slot import filled
    from kinto_notify.settings import load_settings
    from kinto_notify.stationery import composer_of

    settings = load_settings()
    catalogue = load_catalogue(settings)
    name = arguments.subscription
    if arguments.event is not None:
        digest, recipient = _of_events(name, [read_event(arguments.event)], catalogue)
    elif arguments.recent is not None:
        digest, recipient = _of_events(name, asyncio.run(_recent(settings, arguments.recent)), catalogue)
    else:
        digest, recipient = _sampled(_chosen(name, catalogue.subscriptions))
    composer = composer_of(
        settings, lambda template, reason: print(f"kinto-notify: {template}: {reason}", file=sys.stderr)
    )
    if arguments.form == "eml":
        sys.stdout.buffer.write(filled(composer.headers(digest, recipient), composer.body(digest), digest.id))
        return 0
    parts = composer.parts(digest)
    print(parts.html if arguments.form == "html" else f"Subject: {parts.subject}\n\n{parts.text}")
    return 0


def _chosen(name: str | None, known: "Sequence[Subscription]") -> "Subscription | None":
    """Return the subscription of this name or `home#name`; the first one where none is asked for."""
    from kinto_notify.subscription import FILE_HOME

    if name is None:
        return next(iter(known), None)
    for one in known:
        if name in (one.identity, one.presentation.name if one.presentation.home == FILE_HOME else None):
            return one
    names = (one.presentation.name if one.presentation.home == FILE_HOME else one.identity for one in known)
    raise BadInput(f"there is no subscription {name!r}; there are: {', '.join(sorted(names)) or 'none'}")


def _sampled(chosen: "Subscription | None") -> "tuple[FrozenDigest, Mailbox]":
    """Return the sample as it would be filed for this subscription."""
    from kinto_notify.compose.sample import sample_digest, sample_for

    digest = sample_for(chosen) if chosen is not None else sample_digest()
    return digest, next(iter(chosen.recipients if chosen is not None else ()), digest.recipients[0])


async def _recent(settings: "Settings", number: int) -> "list[Event]":
    """Return the last events of the stream; what cannot be read is no event."""
    from kinto_notify.event import parse_event
    from kinto_notify.store.client import Client
    from kinto_notify.store.trail import Trail

    client = Client(settings.redis_url, settings.namespace)
    try:
        bodies = await Trail(client).newest(max(number, 1))
    finally:
        await client.close()
    events = []
    for body in bodies:
        with suppress(MalformedEntry):
            events.append(parse_event(body))
    if not events:
        raise BadInput("there is no event in the stream: those that were filed may be trimmed; --event takes a file")
    return events


def _of_events(name: str | None, events: "Sequence[Event]", catalogue: "Catalogue") -> "tuple[FrozenDigest, Mailbox]":
    """Return the digest that a subscription, or a hook that an event carries, makes of them; the newest of several."""
    from kinto_notify.dry_run import gather
    from kinto_notify.filing import file_event

    asked = [(event, catalogue.subscriptions_of(event)) for event in events]
    known = {one.identity: one for _, subscriptions in asked for one in subscriptions}
    chosen = _chosen(name, list(known.values()))
    filings = [
        filing
        for event, subscriptions in asked
        for filing in file_event(event, [one for one in subscriptions if _same(one, chosen)], catalogue.allows)
    ]
    newest = {filing.key: number for number, filing in enumerate(filings)}
    last = events[-1]
    digests = gather(filings, last.made or last.data.timestamp)
    if digests:
        digest = max(digests, key=lambda one: newest[one.key])
        return digest, digest.recipients[0]
    what = "this event" if len(events) == 1 else f"these {len(events)} events"
    whose = "nothing is subscribed" if chosen is None else f"{chosen.identity} makes no mail of {what}"
    raise BadInput(f"{whose}; `kinto-notify explain {last.id}` says why")


def _same(one: "Subscription", chosen: "Subscription | None") -> bool:
    return chosen is not None and one.identity == chosen.identity
