"""L03: what waits weighs no more in Redis than docs/operations.md says, from which its bounds are reckoned."""

import uuid
from dataclasses import replace

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import LINES
from kinto_notify.digest import DigestRules, Filing
from kinto_notify.digester import steps_of
from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from kinto_notify.store.stream import Stream
from support.digests import SENDER
from support.documents import rows, section
from support.events import change, event, fields
from support.filings import ANNA, entries, filed, key

NUMBER = 500
DUE = DigestRules(wait=0, interval=0)


async def weight(client: Client) -> int:
    """Bytes of all keys of the namespace, as Redis itself reckons them."""
    keys = [one async for one in client.redis.scan_iter(match=f"{client.prefix}:*")]
    return sum([await client.redis.memory_usage(one, samples=0) or 0 for one in keys])


def check(name: str, grown: float, number: int = NUMBER) -> None:
    """The table says no less than is true, and not three times as much."""
    table = rows(section("docs/operations.md", "How large Redis grows"))
    (told,) = [int(cells[1].replace(",", "")) for cells in table if cells[0] == name]
    print(f"{name}: {grown / number:.0f} bytes, {told} told")
    assert told / 3 < grown / number <= told


async def written(client: Client, *filings: Filing) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, *filings)], [])


async def test_an_event(client: Client) -> None:
    """The update of an object of 400 bytes, which stands in it twice."""
    record = {"id": str(uuid.uuid4()), "last_modified": 1, "title": "x" * 50, "text": "y" * 270}
    pipe = client.redis.pipeline(transaction=False)
    for number in range(NUMBER):
        pipe.xadd(client.stream, fields(event(change(f"r{number}", old=record, new=record), action="update")))
    await pipe.execute()
    check("an entry in the stream", await weight(client))


async def test_a_digest_and_a_line(client: Client) -> None:
    lines = (LINES[0].encode(),)
    await written(
        client, *(Filing(key(group=f"c{n}"), DUE, (ANNA,), {"record update": 1}, lines) for n in range(NUMBER))
    )
    one = await weight(client) / NUMBER
    check("an open digest with one line", one, 1)
    many = DigestRules(wait=0, interval=0, max_listed=NUMBER)
    await written(client, Filing(key(group="many"), many, (ANNA,), {"record update": NUMBER}, lines * NUMBER))
    check("a further line", await weight(client) - one * NUMBER)


async def test_a_delivery_and_a_body(client: Client) -> None:
    everybody = tuple(Mailbox("", f"reader-{n}@mail.example.org") for n in range(NUMBER))
    await written(client, Filing(key(), DUE, everybody, {"record update": 1}, (LINES[0].encode(),)))
    digests, composer = Digests(client), Composer(sender=SENDER)
    (digest,) = await digests.freeze(1)
    before = await weight(client)
    await digests.fan_out(list(steps_of(digest, composer, SENDER.address)))
    check("a delivery", await weight(client) - before)
    (one,) = steps_of(replace(digest, recipients=everybody[:1]), composer, SENDER.address)
    check("the body of a mail with one line", len(one.body), 1)
    full = replace(digest, lines=LINES * 25, counts={"record update": 100}, recipients=everybody[:1])
    (hundred,) = steps_of(full, composer, SENDER.address)
    check("the body of a mail with a hundred lines", len(hundred.body), 1)
