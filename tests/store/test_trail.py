"""The trail that `explain` follows: bounded in number, in age, and in what one event may take."""

import pytest

from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from kinto_notify.store.stream import Stream
from kinto_notify.store.trail import KEEP_MS, Trail
from support.events import event, fields
from support.filings import entries, filed, filing, key


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


async def test_an_event_of_many_digests_names_some_and_counts_all(client: Client, stream: Stream) -> None:
    (one,) = await entries(client, stream, 1)
    many = [filing("r", to=key("s", str(number))) for number in range(500)]
    await stream.file([filed(one, *many, event="e")], [])
    traced = await Trail(client).find("e")
    assert traced is not None
    assert (traced.number, len(traced.digests)) == (500, 20)
    ((_, step),) = await client.redis.xrange(client.key("trail"))
    assert sum(map(len, step.values())) < 700


async def test_an_event_that_nobody_wants_is_known(client: Client, stream: Stream) -> None:
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, event="e")], [])
    traced = await Trail(client).find("e")
    assert traced is not None
    assert (traced.number, traced.digests) == (0, ())


async def test_a_copy_of_a_known_event_leaves_no_step(client: Client, stream: Stream) -> None:
    one, copy = await entries(client, stream, 2)
    await stream.file([filed(one, filing("a"), event="e"), filed(copy, filing("a"), event="e")], [])
    assert await client.redis.xlen(client.key("trail")) == 1


async def test_it_ends_by_itself_and_is_trimmed_by_age(client: Client, stream: Stream) -> None:
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a"), event="e")], [])
    assert 0 < await client.redis.pttl(client.key("trail")) <= KEEP_MS + 3_600_000
    now = await client.time()
    await Trail(client).trim(now + KEEP_MS - 60_000)
    assert await Trail(client).find("e") is not None
    await Trail(client).trim(now + KEEP_MS + 60_000)
    assert await Trail(client).find("e") is None


async def test_it_holds_so_many_steps_and_no_more(client: Client, stream: Stream) -> None:
    """20,000, and what Redis leaves in a started block of its stream."""
    for _ in range(25):
        pipe = client.redis.pipeline(transaction=False)
        for _ in range(1_000):
            pipe.xadd(client.key("trail"), {"e": "old", "d": "", "n": 0})
        await pipe.execute()
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a"), event="e")], [])
    assert 20_000 <= await client.redis.xlen(client.key("trail")) <= 20_200
    assert await Trail(client).find("e") is not None


async def test_what_a_first_mail_took_is_not_in_the_second(client: Client, stream: Stream) -> None:
    """The digest's id is the same both times; the order of the trail tells them apart."""
    mails = []
    for name in ("first", "second"):
        (one,) = await entries(client, stream, 1)
        await stream.file([filed(one, filing(name), event=name)], [])
        (digest,) = await Digests(client).freeze(1)
        mails.append(digest.id)
    found = [await Trail(client).find(name) for name in ("first", "second")]
    assert [one.digests[0].id for one in found if one is not None] == mails


async def test_the_entry_itself_is_found_by_its_id_alone(client: Client) -> None:
    """Not by an id that only stands in its content."""
    mine = event(ident="sought")
    other = event(ident="other", user_id="sought")
    for one in (other, mine):
        await client.redis.xadd(client.stream, fields(one))  # type: ignore[arg-type]
    await client.redis.xadd(client.stream, {"v": "1", "event": "no JSON sought"})
    body = await Trail(client).entry("sought")
    assert body == fields(mine)["event"]
    assert await Trail(client).entry("absent") is None


async def test_a_recipient_can_be_forgotten(client: Client) -> None:
    """Their mails, whose replies may name the address, and nobody else's."""
    for name in ("f1:aaaa", "f1:bbbb", "f2:aaaa"):
        await client.redis.xadd(client.key("outcomes"), {"d": name, "r": "250 taken"})
    assert await Trail(client).forget("aaaa") == 2
    assert [step[b"d"] for _, step in await client.redis.xrange(client.key("outcomes"))] == [b"f1:bbbb"]
