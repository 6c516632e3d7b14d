"""`kinto-notify recipients`: addresses that the mail relay called unknown; look, send to them again, forget them."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.errors import BadInput
from kinto_notify.store.client import Client
from kinto_notify.store.erasure import Erasure
from kinto_notify.store.recipients import Recipient, Recipients


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its four acts."""
    parser = commands.add_parser(
        "recipients", help="list or show recipients, send to one again, forget one", description=__doc__
    )
    acts = parser.add_subparsers(title="acts", metavar="ACT", required=True)
    listing = acts.add_parser("list", help="list those of which something is kept, the newest first")
    listing.add_argument("--suppressed", action="store_true", help="only those to whom nothing is sent")
    showing = acts.add_parser("show", help="show what is kept of an address")
    lifting = acts.add_parser("resubscribe", help="lift the suppression of an address")
    erasing = acts.add_parser("erase", help="forget an address: its mails that wait, dead letters, refusals")
    for one in (showing, lifting, erasing):
        one.add_argument("address", metavar="ADDRESS")
    for one in (listing, showing):
        one.add_argument("--json", action="store_true", help="print JSON")
    for name, act in (("list", listing), ("show", showing), ("resubscribe", lifting), ("erase", erasing)):
        act.set_defaults(act=name)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out one act; 65 if the address is none, 69 if Redis does not answer, 75 to try again."""
    from kinto_notify.settings import load_settings

    settings = load_settings()
    acts: dict[str, Callable[[Recipients, argparse.Namespace], Awaitable[None]]] = {
        "list": _list,
        "show": _show,
        "resubscribe": _resubscribe,
    }

    async def act() -> None:
        client = Client(settings.redis_url, settings.namespace)
        try:
            if arguments.act == "erase":
                await _erase(Erasure(client), arguments)
            else:
                await acts[arguments.act](Recipients(client), arguments)
        finally:
            await client.close()

    asyncio.run(act())
    return 0


async def _list(recipients: Recipients, arguments: argparse.Namespace) -> None:
    count = 0
    async for one in recipients.newest():
        if arguments.suppressed and one.suppressed is None:
            continue
        count += 1
        if arguments.json:
            print(json.dumps(_described(one), ensure_ascii=False))
        else:
            state = "suppressed" if one.suppressed is not None else "unknown once"
            print(f"{_time(one.when)}  {state:<12}  {_shown(one.address):<30}  {_shown(one.reply)}")
    if not arguments.json:
        which = "suppressed" if arguments.suppressed else "called unknown by the relay"
        print(f"{count} {which}" if count else f"no recipient is {which}", file=sys.stderr)


async def _show(recipients: Recipients, arguments: argparse.Namespace) -> None:
    mailbox = _mailbox(arguments.address)
    found = await recipients.get(mailbox)
    if arguments.json:
        told = {"address": mailbox.address, "suppressed": None} if found is None else _described(found)
        print(json.dumps(told, ensure_ascii=False))
    elif found is None:
        print(f"{mailbox.address}: nothing is kept of it; mail to it goes out")
    else:
        for name, value in _described(found).items():
            print(f"{name:<11} {_shown(str(value)) if value is not None else 'no'}")


async def _resubscribe(recipients: Recipients, arguments: argparse.Namespace) -> None:
    mailbox = _mailbox(arguments.address)
    was = await recipients.resubscribe(mailbox)
    print(f"{mailbox.address}: {'mail to it goes out again' if was else 'was not suppressed'}")


async def _erase(erasure: Erasure, arguments: argparse.Namespace) -> None:
    mailbox = _mailbox(arguments.address)
    gone = await erasure.erase(mailbox)
    print(
        f"{mailbox.address}: {gone.deliveries} waiting mails and {gone.dead_letters} dead letters removed, "
        f"taken out of {gone.digests} digests"
    )


def _mailbox(text: str) -> Mailbox:
    try:
        return parse_mailbox(text)
    except ValueError as fault:
        raise BadInput(str(fault)) from None


def _shown(text: str) -> str:
    """Make a relay's words fit for a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _described(one: Recipient) -> dict[str, str | int | None]:
    return {
        "address": one.address,
        "suppressed": _time(one.suppressed) if one.suppressed is not None else None,
        "unknown": one.unknown,
        "when": _time(one.when),
        "last_reply": one.reply,
    }
