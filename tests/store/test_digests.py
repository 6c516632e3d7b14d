"""Freezing and fanning out: in steps, by the holder of the lease, resumed after a crash (design 4.6)."""

from dataclasses import replace

import pytest

from kinto_notify.digest import DigestRules, Filing, FrozenDigest, Line
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import LEASE_BUDGET_BYTES, Addressed, Digests, Step
from kinto_notify.store.stream import Stream
from support.filings import ANNA, entries, filed, filing, key


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


async def frozen(client: Client, stream: Stream, *idents: str) -> FrozenDigest:
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing(*idents))], [])
    (digest,) = await Digests(client).freeze(10)
    return digest


def step(digest: FrozenDigest, before: int, after: int, *, last: bool, body: bytes = b"body") -> Step:
    addressed = tuple(
        Addressed(str(n), f"u{n}@example.org", b"To: u%d@example.org\r\n" % n) for n in range(before, after)
    )
    return Step(digest, before, after, last, body, "bounce@example.org", addressed)


async def test_what_comes_after_the_freeze_opens_a_new_digest(client: Client, stream: Stream) -> None:
    first = await frozen(client, stream, "a")
    second = await frozen(client, stream, "b")
    assert first.key == second.key
    assert first.id != second.id
    assert [line.id for line in second.lines] == ["b"]


async def test_a_frozen_digest_is_leased_once_and_again_after_its_lease(client: Client, stream: Stream) -> None:
    digest = await frozen(client, stream, "a")
    assert await Digests(client).freeze(10) == []
    await client.redis.zadd(client.key("frozen"), {digest.id: 0})
    (again,) = await Digests(client).freeze(10)
    assert again.fence == digest.fence + 1
    assert (again.id, again.frozen, again.lines) == (digest.id, digest.frozen, digest.lines)


async def test_fan_out_in_steps_ends_with_the_digest(client: Client, stream: Stream) -> None:
    digests = Digests(client)
    digest = await frozen(client, stream, "a")
    assert await digests.fan_out([step(digest, 0, 2, last=False), step(digest, 2, 3, last=True)]) == 3
    leased = await Deliveries(client).lease(10)
    assert {one.recipient for one in leased.deliveries} == {f"u{n}@example.org" for n in range(3)}
    assert await Deliveries(client).bodies([(digest.id, False)]) == {(digest.id, False): b"body"}
    assert not await client.redis.keys(client.key("frozen*"))


async def test_a_crash_between_steps_resumes_at_the_cursor(client: Client, stream: Stream) -> None:
    """D04: the second daemon has other templates, and must not mix the two."""
    digests = Digests(client)
    digest = await frozen(client, stream, "a")
    await digests.fan_out([step(digest, 0, 2, last=False)])
    await client.redis.zadd(client.key("frozen"), {digest.id: 0})
    (again,) = await digests.freeze(10)
    assert again.cursor == 2
    assert await digests.fan_out([step(again, 0, 2, last=False, body=b"other")]) == 0
    assert await digests.fan_out([step(again, 2, 3, last=True, body=b"other")]) == 1
    assert await Deliveries(client).bodies([(digest.id, False)]) == {(digest.id, False): b"body"}


async def test_an_old_fence_makes_nothing(client: Client, stream: Stream) -> None:
    digests = Digests(client)
    digest = await frozen(client, stream, "a")
    await client.redis.zadd(client.key("frozen"), {digest.id: 0})
    await digests.freeze(10)
    assert await digests.fan_out([step(digest, 0, 1, last=True)]) == 0
    assert (await Deliveries(client).lease(10)).deliveries == ()


async def test_a_digest_that_cannot_be_composed_is_buried_and_can_be_retried(client: Client, stream: Stream) -> None:
    digests, dead = Digests(client), DeadLetters(client)
    digest = await frozen(client, stream, "a")
    await digests.bury(digest, "cannot be composed: KeyError")
    (letter,) = [one async for one in dead.newest()]
    assert (letter.kind, letter.reason, letter.text("identity")) == (
        "digest",
        "cannot be composed: KeyError",
        key().identity,
    )
    assert await dead.retry(letter.id)
    (again,) = await digests.freeze(10)
    assert (again.id, again.lines) == (digest.id, digest.lines)


async def test_a_digest_of_nobody_leaves_nothing_behind(client: Client, stream: Stream) -> None:
    digest = await frozen(client, stream, "a")
    assert await Digests(client).fan_out([step(digest, 0, 0, last=True)]) == 0
    assert not await client.redis.keys(client.key("body*"))
    assert not await client.redis.keys(client.key("frozen*"))


async def test_the_body_outlives_the_deliveries_of_the_first_step(client: Client, stream: Stream) -> None:
    """A crash between two steps, and all of the first step is sent before the second: the others get the same mail."""
    digests, deliveries = Digests(client), Deliveries(client)
    digest = await frozen(client, stream, "a")
    await digests.fan_out([step(digest, 0, 2, last=False)])
    leased = (await deliveries.lease(10)).deliveries
    await deliveries.settle([Settlement(one.id, one.fence, Fate.SENT) for one in leased])
    await client.redis.zadd(client.key("frozen"), {digest.id: 0})
    (again,) = await digests.freeze(10)
    # A resumed digest is not composed anew.
    await digests.fan_out([step(again, 2, 3, last=True, body=b"")])
    assert await deliveries.bodies([(digest.id, False)]) == {(digest.id, False): b"body"}
    (last,) = (await deliveries.lease(10)).deliveries
    await deliveries.settle([Settlement(last.id, last.fence, Fate.SENT)])
    assert not await client.redis.keys(client.key("body*"))


async def test_a_digest_buried_half_way_keeps_its_body_until_it_is_dropped(client: Client, stream: Stream) -> None:
    digests, deliveries, dead = Digests(client), Deliveries(client), DeadLetters(client)
    digest = await frozen(client, stream, "a")
    await digests.fan_out([step(digest, 0, 2, last=False)])
    await digests.bury(digest, "cannot be composed: KeyError")
    leased = (await deliveries.lease(10)).deliveries
    await deliveries.settle([Settlement(one.id, one.fence, Fate.SENT) for one in leased])
    assert await client.redis.keys(client.key("body*"))
    assert await dead.drop([f"digest-{digest.id}"]) == 1
    assert not await client.redis.keys(client.key("body*"))
    assert not await client.redis.keys(client.key("frozen*"))


async def test_l03_fat_digests_are_leased_a_few_at_a_time(client: Client, stream: Stream) -> None:
    """Each may have 1,000 lines of 10 KB: 64 at once are more memory than the daemon has."""
    line = Line("update", "record", "x" * 10_000).encode()
    fat = LEASE_BUDGET_BYTES // 2 // len(line) + 1
    rules = DigestRules(wait=0, interval=0, max_listed=1_000)
    found = await entries(client, stream, 7)
    for number, entry in enumerate(found):
        one = Filing(key(group=str(number)), rules, (ANNA,), {"record update": fat}, (line,) * fat)
        await stream.file([filed(entry, one)], [])
    sizes = []
    while digests := await Digests(client).freeze(64):
        sizes.append(len(digests))
        assert all(len(digest.lines) == fat for digest in digests)
    assert sizes == [2, 2, 2, 1]


async def test_when_the_oldest_change_was_captured_comes_with_the_delivery(client: Client, stream: Stream) -> None:
    """What the end-to-end seconds are measured from; a copy and a younger event do not move it."""
    made = 1_700_000_000_000
    for age in (5, 9, 7):
        (one,) = await entries(client, stream, 1)
        await stream.file([replace(filed(one, filing("a"), event=f"e{age}"), made=made - age)], [])
    (copy,) = await entries(client, stream, 1)
    await stream.file([replace(filed(copy, filing("a"), event="e5"), made=made - 99)], [])
    (digest,) = await Digests(client).freeze(10)
    assert digest.oldest == made - 9
    await Digests(client).fan_out([step(digest, 0, 1, last=True)])
    (delivery,) = (await Deliveries(client).lease(1)).deliveries
    assert delivery.oldest == made - 9


async def test_s10_the_summary_of_a_large_mail_is_stored_once_for_all_its_steps(client: Client, stream: Stream) -> None:
    """Also for those that another daemon makes after a crash, which does not compose it again."""
    digests, deliveries = Digests(client), Deliveries(client)
    digest = await frozen(client, stream, "a")
    await digests.fan_out([replace(step(digest, 0, 1, last=False), summary=b"short")])
    await digests.fan_out([step(digest, 1, 2, last=True, body=b"")])
    leased = (await deliveries.lease(10)).deliveries
    assert [(one.shorter, one.summary) for one in leased] == [(True, False)] * 2
    await deliveries.settle([Settlement(leased[0].id, leased[0].fence, Fate.SUMMARISED, 0, "552 too big")])
    (short,) = (await deliveries.lease(10)).deliveries
    assert (short.id, short.shorter, short.summary, short.attempts) == (leased[0].id, False, True, 1)
    assert short.headers == leased[0].headers
    assert await deliveries.bodies([(digest.id, True), (digest.id, False)]) == {
        (digest.id, True): b"short",
        (digest.id, False): b"body",
    }
    await deliveries.settle([Settlement(short.id, short.fence, Fate.REFUSED, 0, "552 too big")])
    # Tried again by hand, it is tried with its details.
    assert await DeadLetters(client).retry(short.id)
    (again,) = (await deliveries.lease(10)).deliveries
    assert (again.shorter, again.summary) == (True, False)


async def test_s10_a_small_mail_keeps_nothing_of_it(client: Client, stream: Stream) -> None:
    digest = await frozen(client, stream, "a")
    await Digests(client).fan_out([step(digest, 0, 1, last=True)])
    (one,) = (await Deliveries(client).lease(10)).deliveries
    assert (one.shorter, one.summary) == (False, False)
    assert await client.redis.hexists(client.key(f"delivery:{one.id}"), "summary") is False
