"""`kinto-notify explain`: for each subscription, why it did not want an event, or what became of the mail."""

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from kinto_notify.cli.event_file import parsed_event, text_of
from kinto_notify.cli.moment import shown_moment
from kinto_notify.errors import BadInput
from kinto_notify.event import Event
from kinto_notify.store.client import Client
from kinto_notify.store.trail import Gone, Mail, Traced, Trail

if TYPE_CHECKING:
    from kinto_notify.catalogue import Catalogue
    from kinto_notify.refusal import Refusal
    from kinto_notify.settings import Settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one subscription makes of an event: digests by id and group, or why not."""

    subscription: str
    digests: Mapping[str, str]
    refused: "tuple[Refusal, ...]"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("explain", help="say where an event went, or why it did not", description=__doc__)
    parser.add_argument("event", metavar="EVENT", help="id of a recent event, a file with one, or - for standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it; 65 if the event is not known, or is none."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.settings import load_settings

    settings = load_settings()
    catalogue = load_catalogue(settings)
    traced: Traced | None = None
    text = text_of(arguments.event)
    if text is not None:
        event: Event | None = parsed_event(text)
    elif arguments.event.endswith(".json") or "/" in arguments.event:
        raise BadInput(f"there is no file {arguments.event!r}")
    else:
        event, traced = asyncio.run(_asked(settings, arguments.event))
    verdicts = judge(event, catalogue) if event is not None else []
    remarks = catalogue.hooks.remarks()
    if arguments.json:
        told = {"event": event.id if event is not None else arguments.event, "in_hand": event is not None}
        trace = asdict(traced) if traced is not None else None
        told |= {"verdicts": [asdict(one) for one in verdicts], "filed": trace}
        print(json.dumps({**told, "remarks": [asdict(one) for one in remarks]}, ensure_ascii=False))
        return 0
    told_of = [f"{one.identity}: {one.kind}: {one.detail}" for one in remarks]
    for line in (*_lines(event, verdicts, traced), *told_of):
        # Names and replies are texts of strangers.
        print("".join(char if char.isprintable() else "�" for char in line))
    return 0


async def _asked(settings: "Settings", ident: str) -> tuple[Event | None, Traced | None]:
    """Look for an event by its id: its way, and itself while it is in the stream."""
    client = Client(settings.redis_url, settings.namespace)
    try:
        trail = Trail(client)
        traced, body = await trail.find(ident), await trail.entry(ident)
    finally:
        await client.close()
    if traced is None and body is None:
        raise BadInput(
            f"there is no event {ident!r} in the stream, nor among the last 20,000 of a day that were filed; what could"
            " not be read or was too old is among the dead letters: kinto-notify dead-letters list"
        )
    return (parsed_event(body) if body is not None else None), traced


def judge(event: Event, catalogue: "Catalogue") -> list[Verdict]:
    """Ask each subscription of ours, and each hook that the event carries."""
    from kinto_notify.filing import file_event
    from kinto_notify.refusal import refusals

    found = []
    for one in catalogue.subscriptions_of(event):
        filings = file_event(event, (one,), catalogue.allows, catalogue.hooks.tell)
        keys = [filing.key for filing in filings]
        digests = {key.id: ", ".join(f"{word} {value}" for word, value in key.group) for key in keys}
        found.append(Verdict(one.identity, digests, tuple(refusals(one, event))))
    return found


def _lines(event: Event | None, verdicts: list[Verdict], traced: Traced | None) -> Iterator[str]:
    if event is not None:
        data = event.data
        by = f", by {data.user_id}" if data.user_id else ""
        yield f"event {event.id}: {data.resource_name} {data.action}, {len(data.changes)} changes{by}"
    if traced is not None:
        yield f"filed {shown_moment(traced.at)} into {traced.number} digests"
        for gone in traced.digests:
            yield from _way(gone)
        if traced.number > len(traced.digests):
            yield f"  and {traced.number - len(traced.digests)} more digests"
    for one in verdicts:
        yield from _verdict(one, traced is not None)
    if event is None:
        yield "it is not in the stream any more: with the event in a file, the filters can be told too"


def _verdict(one: Verdict, filed: bool) -> Iterator[str]:
    from kinto_notify.refusal import told_refusal

    if one.digests and not filed:
        yield f"{one.subscription}: wants it"
        yield from (f"  digest {ident[:8]} of {group or 'everything'}" for ident, group in one.digests.items())
    elif not one.digests and not one.refused:
        yield f"{one.subscription}: wants it, but nobody may hear of it: the actor alone, or no address that is allowed"
    elif not one.digests:
        yield f"{one.subscription}: does not want it"
    for refusal in one.refused:
        yield f"  {told_refusal(refusal)}"


def _way(gone: Gone) -> Iterator[str]:
    name = gone.identity or "?"
    states = {
        "open": f"is open, due {shown_moment(gone.at)}",
        "paused": f"is open; paused, else due {shown_moment(gone.at)}",
        "composing": f"is being composed since {shown_moment(gone.at)}",
        "mailed": f"was composed {shown_moment(gone.at)}",
        "dead": f"is a dead letter since {shown_moment(gone.at)}: {gone.reason}",
        "gone": "is not there any more: it was discarded, or Redis lost it",
    }
    yield f"{name}: digest {gone.id[:8]} {states[gone.state]}"
    yield from map(_mail, gone.mails)


def _mail(mail: Mail) -> str:
    whom = mail.recipient or f"recipient {mail.id.rpartition(':')[2]}"
    if mail.state == "sent":
        return f"  sent {shown_moment(mail.at)} to {whom}: {mail.reply}"
    if mail.state == "unwanted":
        return f"  not sent {shown_moment(mail.at)} to {whom}: {mail.reply}"
    if mail.state == "dead":
        return f"  dead since {shown_moment(mail.at)}, to {whom}: {mail.reply}"
    last = f"; last reply: {mail.reply}" if mail.reply else ""
    return f"  waiting, to {whom}: {mail.attempts} attempts, due {shown_moment(mail.at)}{last}"
