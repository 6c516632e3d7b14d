"""L02: a hundred thousand open digests cost a lease no more than a hundred."""

import re
from pathlib import Path

import kinto_notify.store
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.digests import Digests
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing, key

FAR = 4_000_000_000_000


async def calls(client: Client) -> int:
    """Commands that the server has executed, those of scripts among them."""
    told = await client.redis.info("commandstats")
    return sum(one["calls"] for one in told.values())


async def cost(client: Client, stream: Stream, ident: str) -> int:
    """Commands that it takes to file a change, freeze its digest, and find no delivery."""
    (one,) = await entries(client, stream, 1)
    # Loaded beforehand, whichever of them was not.
    await Deliveries(client).lease(10)
    await Digests(client).freeze(64)
    before = await calls(client)
    await stream.file([filed(one, filing(ident, to=key(group=ident)))], [])
    (digest,) = await Digests(client).freeze(64)
    assert [line.id for line in digest.lines] == [ident]
    assert (await Deliveries(client).lease(10)).deliveries == ()
    await Digests(client).bury(digest, "counted")
    return await calls(client) - before


async def test_l02_what_is_not_due_costs_nothing(client: Client) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    await cost(client, stream, "first")
    few = await cost(client, stream, "few")
    for start in range(0, 100_000, 10_000):
        later = {f"{number:032x}": FAR + number for number in range(start, start + 10_000)}
        for name in ("due", "frozen", "deliveries"):
            await client.redis.zadd(client.key(name), later)
    assert await cost(client, stream, "many") == few
    assert await Digests(client).next_due() == FAR


def test_nothing_walks_through_all_keys() -> None:
    """KEYS and SCAN see every key of every namespace."""
    for script in Path(kinto_notify.store.__file__).parent.glob("*.lua"):
        assert not re.search(r"'(KEYS|SCAN)'", script.read_text()), script.name
