"""`kinto-notify preview`: a mail of a subscription with invented changes, offline; nothing is read or sent."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from kinto_notify import pointer
from kinto_notify.errors import BadInput

if TYPE_CHECKING:
    from kinto_notify.digest import Line
    from kinto_notify.subscription import Subscription


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("preview", help="show a mail of a subscription, offline", description=__doc__)
    parser.add_argument("subscription", nargs="?", help="name of a subscription [the first one]")
    form = parser.add_mutually_exclusive_group()
    for name, text in (("text", "subject and text part [this]"), ("html", "HTML part"), ("eml", "the whole message")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=text)
    parser.set_defaults(run=run, form="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the mail; 65 if there is no such subscription."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.compose.composer import Composer
    from kinto_notify.compose.sample import sample_digest
    from kinto_notify.settings import load_settings

    settings = load_settings()
    known = {one.presentation.name: one for one in load_catalogue(settings).subscriptions}
    name = arguments.subscription
    if name is not None and name not in known:
        raise BadInput(f"there is no subscription {name!r}; there are: {', '.join(sorted(known)) or 'none'}")
    chosen = known[name] if name is not None else next(iter(known.values()), None)
    composer = Composer(
        sender=settings.sender,
        templates=settings.templates,
        zone=settings.timezone,
        admin_url=settings.admin_url,
        on_fallback=lambda template, reason: print(f"kinto-notify: {template}: {reason}", file=sys.stderr),
    )
    digest = sample_digest(chosen.presentation if chosen is not None else None)
    if chosen is not None:
        digest = replace(digest, lines=tuple(_as_filed(line, chosen) for line in digest.lines))
    recipient = next(iter(chosen.recipients if chosen is not None else ()), digest.recipients[0])
    if arguments.form == "eml":
        sys.stdout.buffer.write(composer.headers(digest, recipient) + composer.body(digest))
        return 0
    parts = composer.parts(digest)
    print(parts.html if arguments.form == "html" else f"Subject: {parts.subject}\n\n{parts.text}")
    return 0


def _as_filed(line: "Line", subscription: "Subscription") -> "Line":
    """Return what this subscription's digests hold of a change: nothing of its data, or nothing that is redacted."""
    if subscription.presentation.content != "full":
        return replace(line, title="", fields=(), more_fields=0)
    hidden = subscription.redact
    fields = tuple(one for one in line.fields if not pointer.overlaps(hidden, pointer.parse(one.pointer)))
    # Which field the sample's titles came from is known: /title.
    return replace(line, title="" if pointer.covers(hidden, ("title",)) else line.title, fields=fields)
