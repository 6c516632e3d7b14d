"""Make the pictures of docs/pictures.md anew: the mails and the status page, by a headless Chromium.

    python tests/tools/pictures.py [DIR]

In: the built-in samples, and a status page on a Redis of its own with an invented story. Out: DIR/NAME-WIDTH-SCHEME.png
[docs/pictures]; `pngquant 48` and `optipng` make them small. Without a Chromium this ends with exit code 69.
"""

import asyncio
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import LINES, sample_digest
from kinto_notify.demo.servers import RedisServer
from kinto_notify.digest import DigestKey, DigestRules, FrozenDigest, Line
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.pauses import Pauses
from kinto_notify.store.stream import Stream
from kinto_notify.subscription import Presentation, resolved_text
from support.filings import entries, filed, filing
from support.operator_site import Site
from tools.render import render

WIDTHS, SCHEMES = [360, 900], ["light", "dark"]
MINUTE = 60_000
TABLES = """
[[subscription]]
name = "articles"
bucket_id = "blog"
collection_id = "^art"
where = { "/status" = "published" }
recipients = ["Editors <editors@example.org>"]

[[subscription]]
name = "daily"
bucket_id = "blog"
recipients = ["chief@example.org", "desk@example.org"]
digest = { at = "09:00", days = "mon-fri", timezone = "Europe/Paris" }

[[subscription]]
name = "new-buckets"
resource_name = "bucket"
action = "create"
recipients = ["admin@example.org"]
digest = { wait = "0s", interval = "0s" }
"""
MORE = {"admin_token": "x" * 20, "public_url": "http://notify.localhost", "secret": "y" * 32}
READERS = [Mailbox("", f"{name}@example.org") for name in ("anna", "ben", "carl", "dora")]


def mails() -> dict[str, FrozenDigest]:
    """One change, a digest, the deletion of a bucket, and a mail that was held up for three days."""
    digest = sample_digest()
    gone = Line(
        action="delete",
        resource_name="bucket",
        id="blog",
        uri="/buckets/blog",
        user_id="account:alice",
        timestamp=LINES[2].timestamp,
        children=(("collection", 2), ("group", 1), ("record", 310)),
    )
    held = replace(LINES[0], timestamp=LINES[0].timestamp - 72 * 60 * MINUTE)
    key = replace(digest.key, group=(("bucket_id", "blog"),))
    return {
        "mail-single": replace(digest, lines=LINES[:1], counts={"record update": 1}),
        "mail-digest": digest,
        "mail-late": replace(digest, lines=(held,), counts={"record update": 1}, oldest=held.timestamp),
        "mail-deletion": replace(digest, key=key, lines=(gone,), counts={"bucket delete": 1}),
    }


async def story(site: Site) -> None:
    """Mails went out, one waits, one died; digests are open, one of them paused; an hour of rates."""
    stream = Stream(site.client, "one")
    await stream.ensure_group()
    sent, opened = await entries(site.client, stream, 2)
    due_now = [filing("r1", to=_key(name, place)) for name, place in (("articles", "articles"), ("new-buckets", ""))]
    await stream.file([filed(sent, *due_now)], [])
    for digest in await Digests(site.client).freeze(10):
        letters = tuple(Addressed(one.fingerprint, one.address, b"To: x\r\n") for one in READERS)
        await Digests(site.client).fan_out([Step(digest, 0, 4, True, b"\r\nbody", "kinto@example.org", letters)])
    deliveries = Deliveries(site.client)
    fates = {
        "carl@example.org": (Fate.DEFERRED, "451 4.7.1 greylisted, try again later (at RCPT)"),
        "dora@example.org": (Fate.REFUSED, "550 5.1.1 <dora@example.org>: user unknown (at RCPT)"),
    }
    held = (await deliveries.lease(10)).deliveries
    taken = (Fate.SENT, "250 2.0.0 queued as 4XyZ7q (at dot)")
    fated = [(one, *fates.get(one.recipient, taken)) for one in held]
    await deliveries.settle([Settlement(one.id, one.fence, fate, 600_000, told) for one, fate, told in fated])
    await Pauses(site.client).pause("file#daily")
    later = [
        filing(*map(str, range(17)), to=_key("articles", "articles"), rules=DigestRules(wait=4 * MINUTE)),
        filing("a", "b", to=_key("daily", "pages"), rules=DigestRules(wait=600 * MINUTE)),
        filing("c", to=_key("0", "notes", "/buckets/wiki/collections/notes"), rules=DigestRules(wait=MINUTE)),
    ]
    await stream.file([filed(opened, *later)], [])
    dice, totals, now = random.Random(3), {"events": 0, "sent": 0}, await site.client.time()
    for minute in range(70, -1, -1):
        site.rates.take(now - minute * MINUTE, totals)
        for name, mean in (("events", 14), ("sent", 4)):
            totals[name] += int(dice.expovariate(1 / mean)) if dice.random() < 0.75 else 0
        site.rates.take(now - minute * MINUTE, totals)


def _key(name: str, collection: str, home: str = "file") -> DigestKey:
    shown = Presentation(home, name)
    group = (("bucket_id", "wiki" if "wiki" in home else "blog"), ("collection_id", collection))
    return DigestKey(shown.identity, resolved_text(shown, {}), group)


async def main(out: Path) -> None:
    composer = Composer(sender=Mailbox("Kinto", "kinto@example.org"), admin_url="https://kinto.example.org/v1/admin")
    with tempfile.TemporaryDirectory() as work:
        for name, digest in mails().items():
            page = Path(work) / f"{name}.html"
            page.write_text(composer.parts(digest).html, encoding="utf-8")
            await render(page.as_uri(), name, out, WIDTHS, SCHEMES, fine=False)
        with RedisServer(Path(work)) as server:
            async with Site(
                server.url, Path(work), TABLES, namespace="kinto-notify", name="mail-1", **MORE
            ).open() as site:
                await story(site)
                await render(f"{site.url}/", "status", out, WIDTHS, SCHEMES, fine=False)
                assert site.settings.links is not None
                token = site.settings.links.token(READERS[0].fingerprint, "file#articles", await site.client.time())
                page = f"http://notify.localhost:{site.port}/u/{token}"
                await render(page, "recipient", out, WIDTHS, SCHEMES, fine=False)
                await render(f"{site.url}/acts", "acts", out, WIDTHS, SCHEMES, fine=False)
                await render(f"{site.url}/preview/articles", "preview", out, [900], ["light"], fine=False)


if __name__ == "__main__":
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures")
    directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(directory))
