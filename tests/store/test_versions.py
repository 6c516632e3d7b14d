"""M03: daemons of two versions run side by side; what a newer one has stored in another form is left to it."""

import pytest

from kinto_notify.digest import DigestRules
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing, key


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


async def file(client: Client, stream: Stream, ident: str, group: str, rules: DigestRules | None = None) -> None:
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing(ident, to=key(group=group), rules=rules))], [])


async def content(client: Client, *names: str) -> list[bytes | None]:
    """What keys hold, to the byte."""
    return [await client.redis.dump(client.key(name)) for name in names]


async def make_newer(client: Client, name: str) -> None:
    """As a newer daemon might have stored it: none of our fields needs to be there."""
    fields = {"v": "2", "everything": "is elsewhere", "fence": "7"}
    await client.redis.delete(client.key(name))
    await client.redis.hset(client.key(name), mapping=fields)


async def test_m03_open_digests_of_a_newer_form_wait_for_it(client: Client, stream: Stream) -> None:
    await file(client, stream, "a", "theirs")
    await file(client, stream, "b", "ours")
    theirs = key(group="theirs").id
    await make_newer(client, f"digest:{theirs}")
    await client.redis.zadd(client.key("due"), {theirs: 1})
    before = await content(client, f"digest:{theirs}", f"lines:{theirs}")
    found = await Digests(client).freeze(1)
    assert (found, found.newer) == ([], 1)
    # One that rests keeps nobody else waiting.
    (ours,) = await Digests(client).freeze(1)
    assert ours.key == key(group="ours")
    assert await content(client, f"digest:{theirs}", f"lines:{theirs}") == before
    assert await client.newest("due", 0, 10) == [theirs]
    assert await client.redis.zscore(client.key("due"), theirs) <= await client.time() + 5_000


async def test_m03_what_we_file_stands_beside_a_digest_of_a_newer_form(client: Client, stream: Stream) -> None:
    rules = DigestRules(wait=0, interval=0, max_listed=10)
    await file(client, stream, "a", "c", rules)
    ident = key(group="c").id
    await make_newer(client, f"digest:{ident}")
    before = await content(client, f"digest:{ident}", f"lines:{ident}")
    for index in range(2):
        await file(client, stream, f"b{index}", "c", rules)
    assert await content(client, f"digest:{ident}", f"lines:{ident}") == before
    assert (await overview(client)).open_digests == 2
    (ours,) = await Digests(client).freeze(10)
    assert [line.id for line in ours.lines] == ["b0", "b1"]
    assert (ours.changes, ours.key) == (2, key(group="c"))
    assert await client.newest("due", 0, 10) == [ident]


async def test_m03_frozen_digests_of_a_newer_form_wait_for_it(client: Client, stream: Stream) -> None:
    for group in ("theirs", "ours"):
        await file(client, stream, group, group)
    first, second = await Digests(client).freeze(10)
    await make_newer(client, f"frozen:{first.id}")
    await client.redis.zadd(client.key("frozen"), {first.id: 1, second.id: 2})
    before = await content(client, f"frozen:{first.id}", f"frozen-lines:{first.id}")
    found = await Digests(client).freeze(10)
    assert ([one.id for one in found], found.newer) == ([second.id], 1)
    assert await content(client, f"frozen:{first.id}", f"frozen-lines:{first.id}") == before
    assert set(await client.newest("frozen", 0, 10)) == {first.id, second.id}


async def test_m03_deliveries_of_a_newer_form_wait_for_it(client: Client, stream: Stream) -> None:
    await file(client, stream, "a", "c")
    (digest,) = await Digests(client).freeze(10)
    addressed = tuple(Addressed(str(index), f"u{index}@example.org", b"To: u\r\n") for index in range(2))
    await Digests(client).fan_out([Step(digest, 0, 2, True, b"\r\nbody", "bounce@example.org", addressed)])
    theirs, ours = f"{digest.id}:0", f"{digest.id}:1"
    await make_newer(client, f"delivery:{theirs}")
    await client.redis.zadd(client.key("deliveries"), {theirs: 1, ours: 2})
    before = await content(client, f"delivery:{theirs}")
    deliveries = Deliveries(client)
    assert (await deliveries.lease(1)).deliveries == ()
    assert [one.id for one in (await deliveries.lease(1)).deliveries] == [ours]
    assert await content(client, f"delivery:{theirs}") == before
    assert set(await client.newest("deliveries", 0, 10)) == {theirs, ours}
    assert await DeadLetters(client).count() == 0


async def test_m03_a_newer_minor_of_our_form_is_read(client: Client, stream: Stream) -> None:
    """It has fields that we do not know, and all that we do."""
    await file(client, stream, "a", "c")
    name = client.key(f"digest:{key(group='c').id}")
    await client.redis.hset(name, mapping={"v": "1.1", "novelty": "x"})
    await file(client, stream, "b", "c")
    (digest,) = await Digests(client).freeze(10)
    assert [line.id for line in digest.lines] == ["a", "b"]


async def test_a_frozen_digest_that_somebody_wrote_into_harms_no_other(client: Client, stream: Stream) -> None:
    for group in ("a", "b", "c"):
        await file(client, stream, group, group)
    first, second, third = await Digests(client).freeze(10)
    await client.redis.hset(client.key(f"frozen:{first.id}"), "group", "no JSON")
    await client.redis.lpush(client.key(f"frozen-lines:{second.id}"), "[1]")
    await client.redis.zadd(client.key("frozen"), dict.fromkeys((first.id, second.id, third.id), 1))
    found = await Digests(client).freeze(10)
    assert [one.id for one in found] == [third.id]
    assert {one.id for one in found.unreadable} == {first.id, second.id}
    for one in found.unreadable:
        await Digests(client).bury(one, "cannot be read")
    assert await DeadLetters(client).count() == 2
    assert await client.newest("frozen", 0, 10) == [third.id]
