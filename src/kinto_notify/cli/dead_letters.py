"""`kinto-notify dead-letters`: what will not be tried again, and why; look, retry or drop, by id or by filter."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from kinto_notify.cli.moment import parse_since, shown_moment
from kinto_notify.errors import BadInput, UsageError
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetter, DeadLetters
from kinto_notify.subscription import FILE_HOME, identity

_FILTERS = ("reason", "subscription", "recipient", "since")
#: Named to `drop` at once; a script that takes more would hold up Redis.
_BATCH = 200


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its four acts."""
    parser = commands.add_parser("dead-letters", help="list, show, retry or drop dead letters", description=__doc__)
    acts = parser.add_subparsers(title="acts", metavar="ACT", required=True)
    listing = acts.add_parser("list", help="list them, the newest first")
    listing.add_argument("--limit", type=_limit, default=50, help="at most so many [50]")
    showing = acts.add_parser("show", help="show one: why, when, the last reply, the mail")
    showing.add_argument("id")
    for one in (listing, showing):
        one.add_argument("--json", action="store_true", help="print JSON")
    for name, text in (("retry", "try them again, as new"), ("drop", "remove them for good")):
        act = acts.add_parser(name, help=text)
        act.add_argument("ids", nargs="*", metavar="ID")
        act.add_argument("--all", action="store_true", help="all of them")
        act.set_defaults(act=name)
        _add_filters(act)
    _add_filters(listing)
    listing.set_defaults(act="list")
    showing.set_defaults(act="show")
    parser.set_defaults(run=run)


def _add_filters(act: argparse.ArgumentParser) -> None:
    """Add the filters, all of which must hold."""
    act.add_argument("--reason", metavar="TEXT", help="those whose reason holds this text, in any case")
    act.add_argument("--subscription", metavar="NAME", help="those of this subscription")
    act.add_argument("--recipient", metavar="ADDRESS", help="those to this address")
    act.add_argument("--since", type=parse_since, metavar="TIME", help="those buried since then: a time, or 2h")


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text[:9]) > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text[:9])


def run(arguments: argparse.Namespace) -> int:
    """Carry out one act; 65 if a named dead letter is not there."""
    from kinto_notify.settings import load_settings

    if arguments.act in ("retry", "drop"):
        filtered = any(getattr(arguments, name) is not None for name in _FILTERS)
        if bool(arguments.ids) + arguments.all + filtered != 1:
            raise UsageError(f"dead-letters {arguments.act}: name some ids, or a filter, or --all")
    settings = load_settings()
    acts: dict[str, Callable[[DeadLetters, argparse.Namespace], Awaitable[None]]] = {
        "list": _list,
        "show": _show,
        "retry": _retry,
        "drop": _drop,
    }

    async def act() -> None:
        client = Client(settings.redis_url, settings.namespace)
        try:
            await acts[arguments.act](DeadLetters(client), arguments)
        finally:
            await client.close()

    asyncio.run(act())
    return 0


async def _list(dead: DeadLetters, arguments: argparse.Namespace) -> None:
    count = 0
    async for letter in _matching(dead, arguments):
        count += 1
        if arguments.json:
            print(json.dumps(_described(letter), ensure_ascii=False))
        else:
            to, reason = _shown(letter.text("recipient")), _shown(letter.reason)
            print(f"{letter.id}  {shown_moment(letter.when)}  {letter.kind:<8}  {to:<30}  {reason}")
        if count == arguments.limit:
            break
    if not arguments.json:
        total = await dead.count()
        print(f"{count} of {total} dead letters" if total else "no dead letters", file=sys.stderr)


async def _matching(dead: DeadLetters, arguments: argparse.Namespace) -> AsyncIterator[DeadLetter]:
    """Yield those that all given filters let through, the newest first."""
    since = 0 if arguments.since is None else int(arguments.since.timestamp() * 1000)
    async for letter in dead.newest(since):
        if _holds(letter, arguments.reason, arguments.subscription, arguments.recipient):
            yield letter


def _holds(letter: DeadLetter, reason: str | None, subscription: str | None, recipient: str | None) -> bool:
    named = letter.text("identity")
    return (
        (reason is None or reason.casefold() in letter.reason.casefold())
        and (subscription is None or named in (subscription, identity(FILE_HOME, subscription)))
        and (recipient is None or recipient.casefold() == letter.text("recipient").casefold())
    )


async def _show(dead: DeadLetters, arguments: argparse.Namespace) -> None:
    letter = await _found(dead, arguments.id)
    mail = await dead.body(letter)
    if arguments.json:
        text = mail.decode("ascii", "replace") if mail else None
        print(json.dumps({**_described(letter), "mail": text}, ensure_ascii=False))
        return
    for name, value in _described(letter).items():
        if value not in ("", None):
            print(f"{name:<14} {_shown(str(value))}")
    if letter.kind == "entry":
        print(f"{'version':<14} {_shown(letter.text('entry_v'))}\n\n{_shown(letter.text('entry_event'))}")
    elif mail:
        print()
        print(mail.decode("ascii", "replace").replace("\r\n", "\n"))
    for line in await dead.lines(letter):
        print(_shown(f"{line.action:<14} {line.uri or line.resource_name + ' ' + line.id}"))


async def _retry(dead: DeadLetters, arguments: argparse.Namespace) -> None:
    idents = await _chosen(dead, arguments)
    revived = [ident for ident in idents if await dead.retry(ident)]
    print(f"{len(revived)} will be tried again")


async def _drop(dead: DeadLetters, arguments: argparse.Namespace) -> None:
    idents = await _chosen(dead, arguments)
    dropped = [await dead.drop(idents[start : start + _BATCH]) for start in range(0, len(idents), _BATCH)]
    print(f"{sum(dropped)} dropped")


async def _chosen(dead: DeadLetters, arguments: argparse.Namespace) -> list[str]:
    if not arguments.ids:
        return [letter.id async for letter in _matching(dead, arguments)]
    for ident in arguments.ids:
        await _found(dead, ident)
    return list(arguments.ids)


async def _found(dead: DeadLetters, ident: str) -> DeadLetter:
    letter = await dead.get(ident)
    if letter is None:
        raise BadInput(f"there is no dead letter {ident!r}; 'kinto-notify dead-letters list' shows them")
    return letter


def _shown(text: str) -> str:
    """Make text of strangers fit for a terminal: what is poison may hold the codes that rule one."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _described(letter: DeadLetter) -> dict[str, str | int]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "when": shown_moment(letter.when),
        "reason": letter.reason,
        "subscription": letter.text("identity"),
        "recipient": letter.text("recipient"),
        "attempts": int(letter.text("attempts") or 0),
        "last_reply": letter.text("reply"),
    }
