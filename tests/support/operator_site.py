"""The daemon's web site on a namespace of its own, with subscriptions and things that have happened."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kinto_notify.address import Mailbox
from kinto_notify.catalogue import load_catalogue
from kinto_notify.compose.composer import Composer
from kinto_notify.demo.servers import free_port
from kinto_notify.digest import DigestKey, DigestRules
from kinto_notify.settings import load_settings
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.pauses import Pauses
from kinto_notify.store.stream import Stream
from kinto_notify.subscription import Presentation, resolved_text
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.rates import Rates
from kinto_notify.web.site import site
from support.filings import ANNA, BEN, entries, filed, filing

HOSTILE = '<script>alert("x")</script>'
TABLES = f"""
[[subscription]]
name = "articles"
bucket_id = "blog"
where = {{ "/status" = "published" }}
recipients = ["Editors <editors@example.org>"]

[[subscription]]
name = "daily"
recipients = ["chief@example.org", "anna@example.org"]
redact = ["/title"]
digest = {{ at = "09:00", days = "mon-fri", timezone = "Europe/Paris" }}

[[subscription]]
name = '{HOSTILE}'
recipients = ["editors@example.org"]
subject = '{HOSTILE}'
"""
RULES = DigestRules(wait=3_600_000, interval=0)


class Site:
    """Serves; `more` are settings, `unready` what keeps mail from going."""

    def __init__(self, redis_url: str, directory: Path, tables: str = TABLES, **more: str) -> None:
        self.port = free_port()
        self.unready: list[str] = []
        table = directory / "subscriptions.toml"
        table.write_text(tables)
        given = {
            "redis_url": redis_url,
            "namespace": f"t-{uuid.uuid4().hex[:12]}",
            "sender": "Kinto <kinto@example.org>",
            "subscriptions": str(table),
            "web_bind": f"127.0.0.1:{self.port}",
            "name": "desk",
            **more,
        }
        self.settings = load_settings({f"KINTO_NOTIFY_{name.upper()}": text for name, text in given.items()})
        self.client = Client(self.settings.redis_url, self.settings.namespace)
        self.rates = Rates()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Site"]:
        in_use = (load_catalogue(self.settings), Composer(sender=self.settings.sender))
        served = site(
            self.settings,
            self.client,
            Telemetry(),
            self.rates,
            stalled=list,
            unready=lambda: self.unready,
            in_use=lambda: in_use,
        )
        try:
            async with served:
                yield self
        finally:
            await self.client.close()

    async def happened(self) -> None:
        """An open digest of each kind, mails sent, deferred and dead; texts of strangers among them."""
        stream = Stream(self.client, "one")
        await stream.ensure_group()
        first, second = await entries(self.client, stream, 2)
        now_due = filing("r1", to=_key("articles", "articles"))
        await stream.file([filed(first, now_due)], [])
        await self._mailed()
        await Pauses(self.client).pause("file#daily")
        hook = _key(HOSTILE, HOSTILE, "/buckets/wiki/collections/notes")
        later = [
            filing("r1", "r2", to=to, rules=RULES)
            for to in (_key("articles", "articles"), _key("daily", "pages"), hook)
        ]
        await stream.file([filed(second, *later)], [])

    async def _mailed(self) -> None:
        """Freeze what is due: a mail to three, of whom one has it, one waits and one is refused."""
        (digest,) = await Digests(self.client).freeze(10)
        boxes = (ANNA, BEN, Mailbox("", "carl@example.org"))
        addressed = tuple(Addressed(one.fingerprint, one.address, b"To: x\r\n") for one in boxes)
        await Digests(self.client).fan_out([Step(digest, 0, 3, True, b"\r\nbody", "kinto@example.org", addressed)])
        deliveries = Deliveries(self.client)
        held = {one.recipient: one for one in (await deliveries.lease(10)).deliveries}
        told = [
            (ANNA.address, Fate.SENT, "250 2.0.0 queued for <anna@example.org>"),
            (BEN.address, Fate.DEFERRED, f"450 4.2.0 {HOSTILE} ben@example.org"),
            ("carl@example.org", Fate.REFUSED, "550 5.1.1 <carl@example.org>: who? (at RCPT)"),
        ]
        await deliveries.settle(
            [Settlement(held[whom].id, held[whom].fence, fate, 60_000, reply) for whom, fate, reply in told]
        )


def _key(name: str, collection: str, home: str = "file") -> DigestKey:
    shown = Presentation(home, name)
    return DigestKey(shown.identity, resolved_text(shown, {}), (("bucket_id", "blog"), ("collection_id", collection)))
