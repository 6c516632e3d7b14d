"""`kinto-notify recipients`: what is kept of recipients; stop mail to one, send to one again, forget one."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.cli.subscription_name import identity_of
from kinto_notify.errors import BadInput
from kinto_notify.store.client import Client
from kinto_notify.store.erasure import Erasure
from kinto_notify.store.preferences import Preferences, key_of
from kinto_notify.store.recipients import Recipient, Recipients
from kinto_notify.wish import EVERY, Preference, Wish


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its five acts."""
    parser = commands.add_parser(
        "recipients", help="list or show recipients, stop mail to one, send again, forget one", description=__doc__
    )
    acts = parser.add_subparsers(title="acts", metavar="ACT", required=True)
    listing = acts.add_parser("list", help="list those of which something is kept, the newest first")
    listing.add_argument("--suppressed", action="store_true", help="only those to whom relays let nothing be sent")
    showing = acts.add_parser("show", help="show what is kept of an address")
    stopping = acts.add_parser("unsubscribe", help="send no more mail to an address")
    lifting = acts.add_parser("resubscribe", help="send mail to an address again, whatever stopped it")
    erasing = acts.add_parser("erase", help="forget an address: its mails that wait, dead letters, refusals, wishes")
    for one in (showing, stopping, lifting, erasing):
        one.add_argument("address", metavar="ADDRESS")
    for one in (stopping, lifting):
        one.add_argument("--subscription", metavar="NAME", help="of this subscription alone [all]")
    for one in (listing, showing):
        one.add_argument("--json", action="store_true", help="print JSON")
    named = {"list": listing, "show": showing, "unsubscribe": stopping, "resubscribe": lifting, "erase": erasing}
    for name, act in named.items():
        act.set_defaults(act=name)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out one act; 65 if the address or subscription is none, 69 if Redis does not answer, 75 to try again."""
    from kinto_notify.settings import load_settings

    settings = load_settings()
    acts: dict[str, Callable[[Client, argparse.Namespace], Awaitable[None]]] = {
        "list": _list,
        "show": _show,
        "unsubscribe": _unsubscribe,
        "resubscribe": _resubscribe,
        "erase": _erase,
    }
    if getattr(arguments, "subscription", None) is not None:
        arguments.subscription = identity_of(arguments.subscription, settings)

    async def act() -> None:
        client = Client(settings.redis_url, settings.namespace)
        try:
            await acts[arguments.act](client, arguments)
        finally:
            await client.close()

    asyncio.run(act())
    return 0


async def _list(client: Client, arguments: argparse.Namespace) -> None:
    count = 0
    async for one in Recipients(client).newest():
        if arguments.suppressed and one.suppressed is None:
            continue
        count += 1
        if arguments.json:
            print(json.dumps(_described(one), ensure_ascii=False))
        else:
            state = "suppressed" if one.suppressed is not None else "unknown once"
            print(f"{_time(one.when)}  {state:<12}  {_shown(one.address):<30}  {_shown(one.reply)}")
    if not arguments.suppressed:
        count += await _list_wishes(client, arguments.json)
    if not arguments.json:
        which = "suppressed" if arguments.suppressed else "called unknown by the relay, or rules what it gets"
        print(f"{count} {which}" if count else f"no recipient is {which}", file=sys.stderr)


async def _list_wishes(client: Client, as_json: bool) -> int:
    """Print what recipients want, by their fingerprints: no address is kept of those."""
    now, count = await client.time(), 0
    async for who, wanted in Preferences(client).newest():
        for key, one in wanted.items():
            count += 1
            name = _name(key, one)
            if as_json:
                print(json.dumps({"recipient": f"sha256:{who}", "subscription": name, "wants": _wants(one, now)}))
            else:
                print(f"{_wants(one, now):<34}  sha256:{who}  {_shown(name)}")
    return count


async def _show(client: Client, arguments: argparse.Namespace) -> None:
    mailbox = _mailbox(arguments.address)
    found = await Recipients(client).get(mailbox)
    wanted = await Preferences(client).of(mailbox.fingerprint)
    now = await client.time()
    wishes = {_name(key, one): _wants(one, now) for key, one in wanted.items()}
    told = {"address": mailbox.address, "suppressed": None} if found is None else _described(found)
    if arguments.json:
        print(json.dumps({**told, "recipient": f"sha256:{mailbox.fingerprint}", "wants": wishes}, ensure_ascii=False))
    elif found is None and not wishes:
        print(f"{mailbox.address}: nothing is kept of it; mail to it goes out")
    else:
        for name, value in told.items():
            print(f"{name:<11} {_shown(str(value)) if value is not None else 'no'}")
        for name, what in wishes.items():
            print(f"{'wants':<11} {_shown(name)}: {what}")


async def _unsubscribe(client: Client, arguments: argparse.Namespace) -> None:
    mailbox, meant = _mailbox(arguments.address), arguments.subscription or EVERY
    await Preferences(client).act(mailbox.fingerprint, key_of(meant), "off", identity=meant)
    print(f"{mailbox.address}: gets no more mail of {'all subscriptions' if meant == EVERY else _shown(meant)}")


async def _resubscribe(client: Client, arguments: argparse.Namespace) -> None:
    mailbox, preferences = _mailbox(arguments.address), Preferences(client)
    wanted = await preferences.of(mailbox.fingerprint)
    meant = arguments.subscription
    if meant is not None:
        was = wanted.get(key_of(meant)) is not None
        await preferences.act(mailbox.fingerprint, key_of(meant), "on", identity=meant)
        if (every := wanted.get(EVERY)) is not None and every.wish is Wish.OFF:
            print("but it is unsubscribed from all; without --subscription that ends too", file=sys.stderr)
    else:
        was = await Recipients(client).resubscribe(mailbox) or bool(wanted)
        await preferences.forget(mailbox.fingerprint)
    print(f"{mailbox.address}: {'mail to it goes out again' if was else 'was not suppressed, and not unsubscribed'}")


async def _erase(client: Client, arguments: argparse.Namespace) -> None:
    mailbox = _mailbox(arguments.address)
    gone = await Erasure(client).erase(mailbox)
    print(
        f"{mailbox.address}: {gone.deliveries} waiting mails and {gone.dead_letters} dead letters removed, "
        f"taken out of {gone.digests} digests"
    )


def _mailbox(text: str) -> Mailbox:
    try:
        return parse_mailbox(text)
    except ValueError as fault:
        raise BadInput(str(fault)) from None


def _name(key: str, one: Preference) -> str:
    return "all subscriptions" if key == EVERY else one.identity or f"subscription {key}"


def _wants(one: Preference, now: int) -> str:
    if one.muted_until > now and one.wish is not Wish.OFF:
        return f"muted until {_time(one.muted_until)}" + (", then daily" if one.wish is Wish.DAILY else "")
    return {Wish.OFF: "unsubscribed", Wish.DAILY: "one mail a day", Wish.ON: "all mails"}[one.wish]


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
