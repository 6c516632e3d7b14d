"""`kinto-notify preview`: a mail of a subscription or hook, of invented changes or of an event; nothing is sent."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kinto_notify.cli.event_file import read_event
from kinto_notify.errors import BadInput

if TYPE_CHECKING:
    from kinto_notify.address import Mailbox
    from kinto_notify.catalogue import Catalogue
    from kinto_notify.digest import FrozenDigest
    from kinto_notify.event import Event
    from kinto_notify.subscription import Subscription


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("preview", help="show a mail of a subscription, offline", description=__doc__)
    parser.add_argument("subscription", nargs="?", help="name of a subscription [the first one]")
    parser.add_argument("--event", metavar="FILE", help="an event as in the stream: its mail, by its hooks too")
    form = parser.add_mutually_exclusive_group()
    for name, text in (("text", "subject and text part [this]"), ("html", "HTML part"), ("eml", "the whole message")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.set_defaults(run=run, form="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the mail; 65 if there is no such subscription, or it makes no mail of the event."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.compose.slot import filled
    from kinto_notify.settings import load_settings
    from kinto_notify.stationery import composer_of

    settings = load_settings()
    catalogue = load_catalogue(settings)
    name = arguments.subscription
    if arguments.event is None:
        digest, recipient = _sampled(_chosen(name, catalogue.subscriptions))
    else:
        digest, recipient = _of_event(name, read_event(arguments.event), catalogue)
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


def _of_event(name: str | None, event: "Event", catalogue: "Catalogue") -> "tuple[FrozenDigest, Mailbox]":
    """Return the first digest that a subscription, or a hook that the event carries, makes of it."""
    from kinto_notify.dry_run import gather
    from kinto_notify.filing import file_event

    chosen = _chosen(name, catalogue.subscriptions_of(event))
    filings = file_event(event, () if chosen is None else (chosen,), catalogue.allows)
    for digest in gather(filings, event.made or event.data.timestamp):
        return digest, digest.recipients[0]
    whose = "nothing is subscribed" if chosen is None else f"{chosen.identity} makes no mail of this event"
    raise BadInput(f"{whose}; `kinto-notify explain {event.id}` says why")
