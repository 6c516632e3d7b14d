"""`DRY_RUN`: compose and log what would be sent; nothing is sent, acknowledged or moved.

In: entries that no daemon has filed yet, read without touching the group. Out: a log line for each message that they
would become, as if every digest were due at the end of what was read.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kinto_notify.address import Mailbox
from kinto_notify.catalogue import Catalogue, load_catalogue
from kinto_notify.compose.composer import Composer
from kinto_notify.digest import DigestKey, Filing, FrozenDigest, Line
from kinto_notify.errors import StoreUnavailable
from kinto_notify.intake import sort
from kinto_notify.patience import wait_for
from kinto_notify.settings import Settings
from kinto_notify.stationery import composer_of
from kinto_notify.store.client import Client
from kinto_notify.store.stream import Filed, Poison, Stream
from kinto_notify.systemd import ServiceManager
from kinto_notify.telemetry import Telemetry

_PAUSE_S = 1.0
#: A command that Redis does not answer ends sooner (its socket timeout is 15 s).
_STOP_S = 20.0


async def dry_run(settings: Settings, telemetry: Telemetry, *, once: bool) -> int:
    """Tell of what waits in the stream, then (unless `once`) of what comes, until SIGTERM or SIGINT."""
    catalogue = load_catalogue(settings)
    composer = composer_of(settings, telemetry.template_fallback)
    for warning in (*settings.warnings, *catalogue.warnings, "DRY_RUN is set: nothing is sent"):
        telemetry.warning(warning)
    client = Client(settings.redis_url, settings.namespace)
    stream = Stream(client, settings.name)
    # Under systemd it is a daemon like any other: the unit waits for READY and wants to see it alive.
    manager = ServiceManager()
    manager.ready("dry run")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        after: str | None = None
        while not stop.is_set():
            manager.alive()
            try:
                after = await stream.position() if after is None else after
                entries = await stream.peek(after)
                now = await client.time()
            except StoreUnavailable as fault:
                if once:
                    raise
                telemetry.store_lost("dry run", str(fault))
                await wait_for(stop, _PAUSE_S)
                continue
            telemetry.store_back("dry run")
            _tell(*sort(entries, catalogue, since=now - settings.news_ms), catalogue, composer, telemetry, now)
            if entries:
                after = entries[-1].id
            elif once:
                break
            else:
                await wait_for(stop, _PAUSE_S)
    finally:
        manager.stopping(_STOP_S)
        await client.close()
    return 0


def _tell(
    filed: list[Filed], poison: list[Poison], catalogue: Catalogue, composer: Composer, telemetry: Telemetry, now: int
) -> None:
    for remark in catalogue.hooks.remarks():
        telemetry.remark(remark.identity, remark.kind, remark.detail)
    for bad in poison:
        telemetry.poison(bad.entry.id, bad.reason)
    for digest in gather((filing for one in filed for filing in one.filings), now):
        body = composer.body(digest)
        for mailbox in digest.recipients:
            message = composer.headers(digest, mailbox) + body
            telemetry.dry(composer.subject(digest), [mailbox.address], len(message))


@dataclass(slots=True)
class _Growing:
    """A digest in memory."""

    recipients: tuple[Mailbox, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)


def gather(filings: Iterable[Filing], now: int) -> list[FrozenDigest]:
    """Put filings together as the store would, and freeze the digests at once. Pure; `preview` uses it too."""
    growing: dict[DigestKey, _Growing] = {}
    for filing in filings:
        one = growing.setdefault(filing.key, _Growing())
        one.recipients = filing.recipients
        one.counts.update(filing.counts)
        one.lines += filing.lines[: max(filing.rules.max_listed - len(one.lines), 0)]
    return [
        FrozenDigest(
            id=key.id,
            key=key,
            recipients=one.recipients,
            counts=dict(one.counts),
            lines=tuple(map(Line.decode, one.lines)),
            first=now,
            frozen=now,
        )
        for key, one in growing.items()
    ]
