"""`kinto-notify preview`: a mail of a subscription or hook, of invented, given or recent changes; nothing is sent."""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kinto_notify.cli.event_file import read_event
from kinto_notify.errors import BadInput, MalformedEntry, UsageError
from kinto_notify.nearest import nearest

if TYPE_CHECKING:
    from kinto_notify.address import Mailbox
    from kinto_notify.catalogue import Catalogue
    from kinto_notify.digest import FrozenDigest
    from kinto_notify.event import Event
    from kinto_notify.settings import Settings
    from kinto_notify.subscription import Subscription

#: They are in memory at once, at most 256 KiB each.
_MOST_RECENT = 1_000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("preview", help="show a mail of a subscription, offline", description=__doc__)
    parser.add_argument("subscription", nargs="?", help="name of a subscription [the first one]")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--event", metavar="FILE", help="an event as in the stream: its mail, by its hooks too")
    source.add_argument("--recent", metavar="N", type=_number, help="the last N events in the stream: the newest mail")
    kept = "with --recent: the last N events that the outbox of this Kinto has kept, for `retention`"
    parser.add_argument("--ini", type=Path, metavar="KINTO.ini", help=kept)
    form = parser.add_mutually_exclusive_group()
    for name, text in (("text", "subject and text part [this]"), ("html", "HTML part"), ("eml", "the whole message")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.set_defaults(run=run, form="text")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= _MOST_RECENT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST_RECENT:,}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Print the mail; 65 if there is no such subscription, or it makes no mail of the events."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.compose.slot import filled
    from kinto_notify.settings import load_settings
    from kinto_notify.stationery import composer_of

    if arguments.ini is not None and arguments.recent is None:
        raise UsageError("preview: --ini says whose --recent events are meant")
    settings = load_settings()
    catalogue = load_catalogue(settings)
    name = arguments.subscription
    if arguments.event is not None:
        digest, recipient = _of_events(name, [read_event(arguments.event)], catalogue)
    elif arguments.recent is not None:
        events = (
            _kept(arguments.ini, arguments.recent)
            if arguments.ini
            else asyncio.run(_recent(settings, arguments.recent))
        )
        digest, recipient = _of_events(name, events, catalogue)
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
    names = sorted(one.presentation.name if one.presentation.home == FILE_HOME else one.identity for one in known)
    raise BadInput(f"there is no subscription {name!r}{nearest(name, names)}; there are: {', '.join(names) or 'none'}")


def _sampled(chosen: "Subscription | None") -> "tuple[FrozenDigest, Mailbox]":
    """Return the sample as it would be filed for this subscription."""
    from kinto_notify.compose.sample import sample_digest, sample_for

    digest = sample_for(chosen) if chosen is not None else sample_digest()
    return digest, next(iter(chosen.recipients if chosen is not None else ()), digest.recipients[0])


async def _recent(settings: "Settings", number: int) -> "list[Event]":
    """Return the last events of the stream; what cannot be read is no event."""
    from kinto_notify.store.client import Client
    from kinto_notify.store.trail import Trail

    client = Client(settings.redis_url, settings.namespace)
    try:
        bodies = await Trail(client).newest(number)
    finally:
        await client.close()
    return _parsed(
        bodies,
        "there is no event in the stream: what was filed is trimmed. On Kinto's host --ini KINTO.ini finds what its "
        "outbox has kept; --event takes a file",
    )


def _kept(ini: Path, number: int) -> "list[Event]":
    """Return the last events that a Kinto's outbox has published and kept."""
    from kinto_notify.outbox.brief import complete
    from kinto_notify.outbox.ini import read_ini
    from kinto_notify.outbox.kept import kept_since

    newest = deque((kept for settings in read_ini(ini) for kept in kept_since(settings, 0)), maxlen=number)
    bodies = [one.body for kept in newest for one in complete(kept.entry)][-number:]
    return _parsed(bodies, "the outbox has kept no event: see `retention`")


def _parsed(bodies: "Iterable[str | bytes]", nothing: str) -> "list[Event]":
    from kinto_notify.event import parse_event

    events = []
    for body in bodies:
        with suppress(MalformedEntry):
            events.append(parse_event(body))
    if not events:
        raise BadInput(nothing)
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
