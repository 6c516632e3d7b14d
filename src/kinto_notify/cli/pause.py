"""`kinto-notify pause`, `resume`, `flush`: a subscription, or all, gathers, goes on, is mailed (or emptied) now."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kinto_notify.errors import BadInput
from kinto_notify.nearest import nearest
from kinto_notify.store.client import Client
from kinto_notify.store.overview import overview
from kinto_notify.store.pauses import EVERY, Pauses

if TYPE_CHECKING:
    from kinto_notify.settings import Settings

#: What a subscription that a bucket or a collection holds is called: its home and its name.
_HOOK_HOME = "/buckets/"
_ACTS = (
    ("pause", "file changes, but let no digest become due", "for an import that must not mail anyone"),
    ("resume", "end a pause: one mail for each open digest, with true totals", "without a name: all pauses"),
    ("flush", "mail open digests now, paused or not", "with --discard: throw them away instead"),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three commands."""
    for name, text, more in _ACTS:
        parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}; {more}.")
        parser.add_argument("subscription", nargs="?", help="name of a subscription [all]")
        if name == "flush":
            parser.add_argument("--discard", action="store_true", help="throw them away, and mail nothing")
        parser.set_defaults(run=run, act=name)


def run(arguments: argparse.Namespace) -> int:
    """Carry it out; 65 if there is no such subscription."""
    from kinto_notify.settings import load_settings

    settings = load_settings()
    acts: dict[str, Callable[[Client, str, argparse.Namespace], Awaitable[None]]] = {
        "pause": _pause,
        "resume": _resume,
        "flush": _flush,
    }

    async def act() -> None:
        client = Client(settings.redis_url, settings.namespace)
        try:
            name = arguments.subscription
            meant = EVERY if name is None else await _identity(name, settings, Pauses(client))
            await acts[arguments.act](client, meant, arguments)
        finally:
            await client.close()

    asyncio.run(act())
    return 0


async def _identity(name: str, settings: "Settings", pauses: Pauses) -> str:
    """Return the identity of what a person calls a subscription; `BadInput` if there is none, with the nearest one."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.subscription import FILE_HOME, identity

    known = {one.presentation.name: one.identity for one in load_catalogue(settings).subscriptions}
    if name in known:
        return known[name]
    if name.startswith(_HOOK_HOME) and "#" in name:
        return name
    # One that left the file may still be paused, or have digests.
    left = {*await pauses.all(), *await pauses.identities()}
    for one in (name, identity(FILE_HOME, name)):
        if one in left:
            return one
    named = sorted(known)
    raise BadInput(f"there is no subscription {name!r}{nearest(name, named)}; there are: {', '.join(named) or 'none'}")


async def _pause(client: Client, meant: str, _: argparse.Namespace) -> None:
    new = await Pauses(client).pause(meant)
    print(f"{_shown(meant)}: {'paused' if new else 'was paused already'}; changes are filed, and no digest becomes due")
    seen = await overview(client)
    if seen.frozen_digests or seen.deliveries:
        print("what was composed before is still sent", file=sys.stderr)


async def _resume(client: Client, meant: str, _: argparse.Namespace) -> None:
    pauses = Pauses(client)
    ended = await pauses.resume(meant)
    print(f"{_shown(meant)}: {'resumed' if ended else 'was not paused'}")
    if EVERY in await pauses.all():
        print("but all are paused; 'kinto-notify resume' ends that", file=sys.stderr)


async def _flush(client: Client, meant: str, arguments: argparse.Namespace) -> None:
    found = await Pauses(client).flush(meant, discard=arguments.discard)
    what = "thrown away" if arguments.discard else "due now"
    print(f"{_shown(meant)}: {_counted(found.digests, 'digest')} with {_counted(found.changes, 'change')} {what}")
    seen = await overview(client)
    if arguments.discard and (seen.lag or seen.pending):
        waiting = (seen.lag or 0) + seen.pending
        print(f"{waiting} entries of the stream are not filed yet: flush again when they are", file=sys.stderr)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _shown(meant: str) -> str:
    from kinto_notify.subscription import FILE_HOME

    return "all" if meant == EVERY else meant.removeprefix(f"{FILE_HOME}#")
