"""Filings and entries for tests of the store."""

from kinto_notify import wire
from kinto_notify.address import Mailbox
from kinto_notify.digest import EVERYONE, DigestKey, DigestRules, Filing, Line
from kinto_notify.store.client import Client
from kinto_notify.store.stream import HOUR_MS, Entry, Filed, Stream
from kinto_notify.subscription import Presentation, resolved_text

ANNA = Mailbox("Anna", "anna@example.org")
BEN = Mailbox("", "ben@example.org")


def key(name: str = "s", group: str = "c", audience: str = EVERYONE) -> DigestKey:
    """A digest of subscription `name` for one collection."""
    text = resolved_text(Presentation("file", name), {})
    return DigestKey(f"file#{name}", text, (("collection_id", group),), audience)


def filing(
    *idents: str,
    to: DigestKey | None = None,
    rules: DigestRules | None = None,
    recipients: tuple[Mailbox, ...] = (ANNA,),
) -> Filing:
    """A filing of created records."""
    named = idents or ("r1",)
    lines = tuple(Line("create", "record", ident).encode() for ident in named)
    return Filing(
        to or key(), rules or DigestRules(wait=0, interval=0), recipients, {"record create": len(named)}, lines
    )


async def entries(client: Client, stream: Stream, number: int) -> list[Entry]:
    """Put entries into the stream and read them, so that they are pending."""
    for index in range(number):
        await client.redis.xadd(client.stream, {"v": "1", "event": f"body {index}"})
    found: list[Entry] = []
    while len(found) < number:
        found += await stream.read()
    return found


def filed(entry: Entry, *filings: Filing, event: str | None = None) -> Filed:
    """An entry and its filings; `event` is the event's id (a new one else)."""
    return Filed(entry.id, event or wire.new_id(), entry.added // HOUR_MS, entry.added, filings)
