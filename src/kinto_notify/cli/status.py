"""`kinto-notify status`: what waits in Redis, and what has gone through."""

import argparse
import asyncio
import json
from dataclasses import asdict

from kinto_notify.cli.moment import shown_moment
from kinto_notify.pressure import SLOW
from kinto_notify.store.client import Client
from kinto_notify.store.overview import Overview, examine, overview
from kinto_notify.store.pauses import EVERY

_LINES = (
    ("stream", "entries in the stream"),
    ("lag", "not read yet"),
    ("pending", "read, not filed yet"),
    ("open_digests", "digests open"),
    ("due_digests", "of them due"),
    ("paused_digests", "of them paused"),
    ("frozen_digests", "digests being composed"),
    ("deliveries", "deliveries waiting"),
    ("due_deliveries", "due now"),
    ("dead_letters", "dead letters"),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="show what waits and what went through", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the numbers; 69 if Redis does not answer."""
    from kinto_notify.cli.remark_lines import remark_lines
    from kinto_notify.settings import load_settings
    from kinto_notify.store.remarks import Noted, Remarks

    settings = load_settings()

    async def ask() -> tuple[str, Overview, list[Noted]]:
        client = Client(settings.redis_url, settings.namespace)
        try:
            return (await examine(client)).version, await overview(client), await Remarks(client).newest()
        finally:
            await client.close()

    server, told, noted = asyncio.run(ask())
    if arguments.json:
        hooks = [asdict(one) for one in noted]
        print(json.dumps({"server": server, "namespace": settings.namespace, **asdict(told), "hooks": hooks}))
        return 0
    print(f"{server}, namespace {settings.namespace}")
    numbers = asdict(told)
    for name, label in _LINES:
        value = numbers[name]
        print(f"  {label:<24} {'unknown' if value is None else f'{value:,}':>12}")
    for name, since in told.paused.items():
        print(f"  paused since {shown_moment(since)}: {'all' if name == EVERY else name}")
    for one in told.outages:
        print(f"  relay not used since {shown_moment(one.opened)}: {one.relay}, at daemon {one.daemon}: {one.fault}")
    if told.load.level >= SLOW:
        print(f"  {told.load}: the relays are slowed or held, Kinto's outbox keeps what is written")
    for line in remark_lines(noted):
        print(f"  {line}")
    print("so far")
    for name in ("events", "changes", "known", "discarded", "sent", "deferred", "refused"):
        print(f"  {name:<24} {told.totals.get(name, 0):>12,}")
    return 0
