"""Filing: whole or not at all, once, and in the right digest (design 4.4, 4.5)."""

import pytest

from kinto_notify.digest import DigestRules
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.client import Client, RefusedByRedis
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.digests import Digests
from kinto_notify.store.stream import Poison, Stream
from support.filings import ANNA, BEN, entries, filed, filing, key


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


@pytest.fixture
def digests(client: Client) -> Digests:
    return Digests(client)


async def test_an_entry_is_acknowledged_with_its_filing(client: Client, stream: Stream, digests: Digests) -> None:
    one, two = await entries(client, stream, 2)
    result = await stream.file([filed(one, filing("a", "b")), filed(two, filing("c"))], [])
    assert (result.filed, result.known, result.gone, result.buried) == (2, 0, 0, 0)
    assert await stream.pending() == []
    (digest,) = await digests.freeze(10)
    assert [line.id for line in digest.lines] == ["a", "b", "c"]
    assert digest.counts == {"record create": 3}
    assert digest.recipients == (ANNA,)


async def test_a_known_event_id_adds_nothing(client: Client, stream: Stream, digests: Digests) -> None:
    """K08, K09: the relay crashed between XADD and its mark and published again."""
    one, two, three = await entries(client, stream, 3)
    result = await stream.file([filed(one, filing("a"), event="same"), filed(two, filing("a"), event="same")], [])
    assert (result.filed, result.known) == (1, 1)
    later = await stream.file([filed(three, filing("a"), event="same")], [])
    assert (later.filed, later.known, later.soonest) == (0, 1, -1)
    (digest,) = await digests.freeze(10)
    assert digest.changes == 1
    assert await stream.pending() == []


async def test_an_entry_that_another_daemon_filed_adds_nothing(
    client: Client, stream: Stream, digests: Digests
) -> None:
    """The zombie of D11: it still holds the entry in memory, and files it after the other."""
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a"))], [])
    again = await stream.file([filed(one, filing("a"), event="another id")], [])
    assert (again.filed, again.gone) == (0, 1)
    (digest,) = await digests.freeze(10)
    assert digest.changes == 1


async def test_a_malformed_entry_is_buried_in_the_same_step(client: Client, stream: Stream) -> None:
    good, bad = await entries(client, stream, 2)
    result = await stream.file([filed(good, filing("a"))], [Poison(bad, "data: Field required")])
    assert (result.filed, result.buried) == (1, 1)
    assert await stream.pending() == []
    (letter,) = [one async for one in DeadLetters(client).newest()]
    assert (letter.kind, letter.reason) == ("entry", "data: Field required")
    whole = await DeadLetters(client).get(letter.id)
    assert whole is not None
    assert whole.text("entry_event") == "body 1"


async def test_nothing_is_acknowledged_when_redis_is_full(client: Client, stream: Stream, digests: Digests) -> None:
    """R06: the first write of the script is the one that Redis refuses."""
    (one,) = await entries(client, stream, 1)
    limit = (await client.redis.config_get("maxmemory"))["maxmemory"]
    await client.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match=r"out of memory|OOM"):
            await stream.file([filed(one, filing("a"))], [])
    finally:
        await client.redis.config_set("maxmemory", limit)
    assert [entry.id for entry in await stream.pending()] == [one.id]
    assert (await stream.file([filed(one, filing("a"))], [])).filed == 1
    (digest,) = await digests.freeze(10)
    assert digest.changes == 1


async def test_digests_differ_by_group_audience_and_text(client: Client, stream: Stream, digests: Digests) -> None:
    (one,) = await entries(client, stream, 1)
    keys = [key(), key(group="d"), key("other"), key(audience="ben@example.org")]
    await stream.file([filed(one, *(filing(str(index), to=to) for index, to in enumerate(keys)))], [])
    found = await digests.freeze(10)
    assert {digest.key for digest in found} == set(keys)
    assert sorted(line.id for digest in found for line in digest.lines) == ["0", "1", "2", "3"]


async def test_the_lines_end_at_max_listed_and_the_totals_do_not(
    client: Client, stream: Stream, digests: Digests
) -> None:
    rules = DigestRules(wait=0, interval=0, max_listed=3)
    found = await entries(client, stream, 4)
    await stream.file([filed(one, filing("a", "b", rules=rules)) for one in found], [])
    (digest,) = await digests.freeze(10)
    assert len(digest.lines) == 3
    assert digest.changes == 8


async def test_recipients_are_those_of_the_latest_event(client: Client, stream: Stream, digests: Digests) -> None:
    one, two = await entries(client, stream, 2)
    await stream.file([filed(one, filing("a", recipients=(ANNA,)))], [])
    await stream.file([filed(two, filing("b", recipients=(ANNA, BEN)))], [])
    (digest,) = await digests.freeze(10)
    assert digest.recipients == (ANNA, BEN)


async def test_a_digest_waits_from_its_first_change(client: Client, stream: Stream, digests: Digests) -> None:
    rules = DigestRules(wait=60_000, interval=0)
    one, two = await entries(client, stream, 2)
    first = await stream.file([filed(one, filing("a", rules=rules))], [])
    assert 59_000 < first.soonest <= 60_000
    due = await digests.next_due()
    await stream.file([filed(two, filing("b", rules=rules))], [])
    assert await digests.next_due() == due
    assert await digests.freeze(10) == []


async def test_max_events_makes_a_digest_due_at_once(client: Client, stream: Stream, digests: Digests) -> None:
    rules = DigestRules(wait=3_600_000, interval=0, max_events=3)
    one, two = await entries(client, stream, 2)
    await stream.file([filed(one, filing("a", "b", rules=rules))], [])
    assert await digests.freeze(10) == []
    assert (await stream.file([filed(two, filing("c", rules=rules))], [])).soonest == 0
    (digest,) = await digests.freeze(10)
    assert digest.changes == 3


async def test_the_interval_grows_while_changes_keep_coming(client: Client, stream: Stream, digests: Digests) -> None:
    rules = DigestRules(wait=0, interval=100_000, max_wait=200_000)
    intervals = []
    for number in range(4):
        (one,) = await entries(client, stream, 1)
        result = await stream.file([filed(one, filing(str(number), rules=rules))], [])
        intervals.append(round(result.soonest / 1000))
        # The clock is Redis' own: what is due in a minute is made due now.
        await client.redis.zadd(client.key("due"), {key().id: 0})
        assert len(await digests.freeze(10)) == 1
    assert intervals == [0, 100, 150, 200]


@pytest.mark.parametrize("spoilt", ["trail", "due", "totals", "filed"])
async def test_a_script_that_fails_leaves_its_entries_pending(
    client: Client, stream: Stream, digests: Digests, spoilt: str
) -> None:
    """A key of ours that is of another type: acknowledged first, the entries would be lost."""
    one, two = await entries(client, stream, 2)
    await client.redis.set(client.key(spoilt), "not what it was")
    with pytest.raises(RefusedByRedis):
        await stream.file([filed(one, filing("a")), filed(two, filing("b"))], [])
    assert [entry.id for entry in await stream.pending()] == [one.id, two.id]
    await client.redis.delete(client.key(spoilt))
    result = await stream.file([filed(one, filing("a")), filed(two, filing("b"))], [])
    assert (result.filed, result.gone) == (2, 0)


async def test_what_can_fail_is_asked_before_anything_is_added(
    client: Client, stream: Stream, digests: Digests
) -> None:
    """Two digests in a batch: the first must not be added to, and then once more, because of the second."""
    (one,) = await entries(client, stream, 1)
    paced = DigestRules(wait=0, interval=1)
    both = filed(one, filing("a", to=key("calm")), filing("a", to=key("paced"), rules=paced))
    spoilt = client.key(f"pace:{key('paced').pace}")
    await client.redis.set(spoilt, "not what it was")
    with pytest.raises(RefusedByRedis):
        await stream.file([both], [])
    await client.redis.delete(spoilt)
    await stream.file([both], [])
    assert [digest.changes for digest in await digests.freeze(10)] == [1, 1]
