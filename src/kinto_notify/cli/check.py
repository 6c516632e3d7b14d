"""`kinto-notify check`: is everything set up? Configuration first, then Redis and the smarthost, one line each."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from kinto_notify.errors import ConfigError, KintoNotifyError, RelayFault, Unavailable, UsageError

if TYPE_CHECKING:
    from kinto_notify.address import Mailbox
    from kinto_notify.settings import Settings
    from kinto_notify.smarthost import Relay
    from kinto_notify.smtp.pool import Pool


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="check configuration, Redis and the smarthost", description=__doc__)
    parser.add_argument("--offline", action="store_true", help="the configuration only: connect to nothing")
    parser.add_argument("--send-to", metavar="ADDRESS", help="send a sample mail to this address")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each thing that was looked at; 78 for the configuration, 69 for what can't be reached."""
    from kinto_notify.catalogue import load_catalogue
    from kinto_notify.cli.sample_mail import compose_sample
    from kinto_notify.settings import load_settings

    if arguments.offline and arguments.send_to:
        raise UsageError("check: --send-to needs the smarthost; leave --offline out")
    settings = load_settings()
    recipient = _recipient(arguments.send_to)
    catalogue = load_catalogue(settings)
    doubts = compose_sample(settings, settings.sender, catalogue.subscriptions).doubts
    for warning in (*settings.warnings, *catalogue.warnings, *doubts):
        print(f"warn  {warning}")
    print(f"ok    configuration: {len(catalogue.subscriptions)} subscriptions")
    if arguments.offline:
        return 0
    looks: list[Callable[[], Awaitable[str]]] = [lambda: _redis(settings)]
    # Each by itself: one that is down takes nothing away from what is told of the others.
    looks += [partial(_smarthost, settings, relay) for relay in settings.smtp_relays]
    if recipient is not None:
        looks.append(lambda: _send(settings, recipient))
    return asyncio.run(_look(looks))


def _recipient(address: str | None) -> "Mailbox | None":
    """Read the address of `--send-to` before anything is connected to."""
    from kinto_notify.address import parse_mailbox

    try:
        return None if address is None else parse_mailbox(address)
    except ValueError as fault:
        raise UsageError(f"check: --send-to: {fault}") from None


async def _look(looks: list[Callable[[], Awaitable[str]]]) -> int:
    """Look at one thing after another; the worst of their exit codes."""
    worst = 0
    for look in looks:
        try:
            print(f"ok    {await look()}")
        except KintoNotifyError as fault:
            print("\n".join(f"FAIL  {line}" for line in str(fault).splitlines()))
            worst = max(worst, fault.exit_code)
    return worst


async def _redis(settings: "Settings") -> str:
    from kinto_notify.cli.remark_lines import remark_lines
    from kinto_notify.store.client import Client
    from kinto_notify.store.overview import examine
    from kinto_notify.store.remarks import Remarks

    client = Client(settings.redis_url, settings.namespace)
    try:
        found = await examine(client)
        missing = await client.missing_rights()
        noted = [] if missing else await Remarks(client).newest()
    finally:
        await client.close()
    for doubt in (*(f"Redis: {doubt}" for doubt in found.doubts), *remark_lines(noted)):
        print(f"warn  {doubt}")
    fatal = [*found.fatal, *([f"our user has no right to {', '.join(missing)}"] if missing else [])]
    if fatal:
        raise ConfigError([f"Redis: {text}" for text in fatal])
    return f"Redis: {found.version}"


def _pool(settings: "Settings", relays: "tuple[Relay, ...]") -> "Pool":
    from kinto_notify.smtp.pool import Pool
    from kinto_notify.smtp.timeouts import Timeouts

    # A person waits for the answer: RFC 5321's minutes are for the daemon.
    timeouts = Timeouts(connect=10, greeting=30, ehlo=30, tls=20, login=30)
    return Pool(relays, sessions=1, ca=settings.smtp_ca, timeouts=timeouts)


async def _smarthost(settings: "Settings", relay: "Relay") -> str:
    pool = _pool(settings, (relay,))
    try:
        return f"smarthost: {await pool.probe()}"
    except RelayFault as fault:
        raise Unavailable(f"smarthost: {fault}") from None
    finally:
        await pool.close()


async def _send(settings: "Settings", recipient: "Mailbox") -> str:
    """Send the sample mail, past Redis and all digests."""
    from kinto_notify.cli.sample_mail import compose_sample
    from kinto_notify.delivery import Envelope, Sent

    message = compose_sample(settings, recipient).message
    envelope = Envelope(settings.bounce_address.address, recipient.address, message, recipient.smtputf8)
    pool = _pool(settings, settings.smtp_relays)
    try:
        outcome = await pool.send(envelope)
    except RelayFault as fault:
        raise Unavailable(f"sample mail: {fault}") from None
    finally:
        await pool.close()
    if not isinstance(outcome, Sent):
        raise Unavailable(f"sample mail to {recipient.address}: {outcome.reply}")
    return f"sample mail to {recipient.address}: {outcome.reply}"
