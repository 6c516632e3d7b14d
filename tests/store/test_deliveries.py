"""Leases and settlements: fenced, atomic, and nothing left at rest (design 4.7, invariant I5)."""

import pytest

from kinto_notify.delivery import Delivery
from kinto_notify.store.client import Client
from kinto_notify.store.dead import MAX_AGE_MS, DeadLetters
from kinto_notify.store.deliveries import LEASE_MS, Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.stream import Poison, Stream
from support.filings import entries, filed, filing, key


@pytest.fixture
def deliveries(client: Client) -> Deliveries:
    return Deliveries(client)


@pytest.fixture
async def made(client: Client) -> None:
    """Three deliveries of one digest."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("a"))], [])
    (digest,) = await Digests(client).freeze(10)
    addressed = tuple(Addressed(str(n), f"u{n}@example.org", b"To: u%d\r\n" % n) for n in range(3))
    await Digests(client).fan_out([Step(digest, 0, 3, True, b"\r\nbody", "bounce@example.org", addressed)])


def end(delivery: Delivery, fate: Fate, delay: int = 0, reply: str = "") -> Settlement:
    return Settlement(delivery.id, delivery.fence, fate, delay, reply)


async def again(client: Client, delivery: Delivery) -> Delivery:
    """End a lease by hand and take the next one."""
    await client.redis.zadd(client.key("deliveries"), {delivery.id: 0})
    (found,) = (await Deliveries(client).lease(1)).deliveries
    return found


async def left(client: Client) -> set[str]:
    """The kinds of keys that are left, besides what may stay at rest."""
    kinds = {key.decode().removeprefix(client.prefix + ":").split(":")[0] for key in await client.redis.keys("*")}
    return kinds & {"delivery", "deliveries", "body", "dead", "frozen", "frozen-lines", "digest", "lines", "due"}


@pytest.mark.usefixtures("made")
async def test_a_lease_takes_no_more_than_asked_and_no_one_twice(deliveries: Deliveries) -> None:
    first = await deliveries.lease(2)
    second = await deliveries.lease(2)
    assert (len(first.deliveries), len(second.deliveries)) == (2, 1)
    assert not {one.id for one in first.deliveries} & {one.id for one in second.deliveries}
    assert (await deliveries.lease(2)).deliveries == ()
    due = await deliveries.next_due()
    assert due is not None
    assert first.now < due <= first.now + LEASE_MS


@pytest.mark.usefixtures("made")
async def test_sent_leaves_nothing_behind(client: Client, deliveries: Deliveries) -> None:
    leased = await deliveries.lease(10)
    assert await deliveries.settle([end(one, Fate.SENT) for one in leased.deliveries[:2]]) == 2
    assert await left(client) == {"delivery", "deliveries", "body"}
    assert await deliveries.settle([end(leased.deliveries[2], Fate.SENT)]) == 1
    assert await left(client) == set()


@pytest.mark.usefixtures("made")
async def test_settling_twice_does_nothing(client: Client, deliveries: Deliveries) -> None:
    """A settlement whose answer was lost is told again."""
    leased = await deliveries.lease(10)
    ends = [end(one, Fate.SENT) for one in leased.deliveries]
    assert await deliveries.settle(ends) == 3
    assert await deliveries.settle(ends) == 0
    assert await left(client) == set()


@pytest.mark.usefixtures("made")
async def test_deferred_is_due_later_and_counts_an_attempt(client: Client, deliveries: Deliveries) -> None:
    (one,) = (await deliveries.lease(1)).deliveries
    await deliveries.settle([end(one, Fate.DEFERRED, 90_000, "450 later (at rcpt)")])
    due = await client.redis.zscore(client.key("deliveries"), one.id)
    assert due is not None
    assert due > await client.time() + 60_000
    later = await again(client, one)
    assert (later.attempts, later.headers) == (1, one.headers)
    assert later.fence > one.fence


@pytest.mark.parametrize("fate", [Fate.DEFERRED, Fate.RETURNED])
@pytest.mark.usefixtures("made")
async def test_a_delay_told_twice_is_one(client: Client, deliveries: Deliveries, fate: Fate) -> None:
    """K09: the answer to the first was lost."""
    (one,) = (await deliveries.lease(1)).deliveries
    assert await deliveries.settle([end(one, fate, 5_000, "450 later")]) == 1
    due = await client.redis.zscore(client.key("deliveries"), one.id)
    assert await deliveries.settle([end(one, fate, 9_000, "450 later")]) == 0
    assert await client.redis.zscore(client.key("deliveries"), one.id) == due
    assert (await again(client, one)).attempts == int(fate is Fate.DEFERRED)


@pytest.mark.usefixtures("made")
async def test_returned_costs_no_attempt(client: Client, deliveries: Deliveries) -> None:
    (one,) = (await deliveries.lease(1)).deliveries
    await deliveries.settle([end(one, Fate.RETURNED, 1_000, "relay down")])
    later = await again(client, one)
    assert later.attempts == 0
    assert later.fence > one.fence


@pytest.mark.parametrize("fate", [Fate.DEFERRED, Fate.RETURNED, Fate.REFUSED])
@pytest.mark.usefixtures("made")
async def test_an_old_fence_settles_nothing(client: Client, deliveries: Deliveries, fate: Fate) -> None:
    """D11: a daemon that was frozen past its lease comes back and tells of a delivery that another one works on."""
    (zombie,) = (await deliveries.lease(1)).deliveries
    await again(client, zombie)
    assert await deliveries.settle([end(zombie, fate, 0, "old")]) == 0
    assert await DeadLetters(client).count() == 0


@pytest.mark.usefixtures("made")
async def test_an_old_fence_that_says_sent_is_believed(client: Client, deliveries: Deliveries) -> None:
    (zombie,) = (await deliveries.lease(1)).deliveries
    current = await again(client, zombie)
    assert await deliveries.settle([end(zombie, Fate.SENT)]) == 1
    assert await deliveries.settle([end(current, Fate.DEFERRED, 1, "late")]) == 0
    assert await client.redis.zscore(client.key("deliveries"), zombie.id) is None


@pytest.mark.usefixtures("made")
async def test_refused_is_kept_with_its_mail_and_can_be_retried(client: Client, deliveries: Deliveries) -> None:
    dead = DeadLetters(client)
    leased = (await deliveries.lease(10)).deliveries
    refused = leased[0]
    await deliveries.settle([end(refused, Fate.REFUSED, 0, "550 no such user (at rcpt)")])
    await deliveries.settle([end(one, Fate.SENT) for one in leased[1:]])
    (letter,) = [one async for one in dead.newest()]
    assert (letter.kind, letter.reason, letter.text("recipient")) == (
        "delivery",
        "550 no such user (at rcpt)",
        refused.recipient,
    )
    whole = await dead.get(letter.id)
    assert whole is not None
    assert await dead.body(whole) == refused.headers + b"\r\nbody"
    assert await dead.retry(letter.id)
    assert await dead.count() == 0
    (back,) = (await deliveries.lease(10)).deliveries
    assert (back.recipient, back.attempts) == (refused.recipient, 0)
    await deliveries.settle([end(back, Fate.SENT)])
    assert await left(client) == set()


@pytest.mark.usefixtures("made")
async def test_dropped_dead_letters_take_their_body_along(client: Client, deliveries: Deliveries) -> None:
    dead = DeadLetters(client)
    leased = (await deliveries.lease(10)).deliveries
    await deliveries.settle([end(one, Fate.REFUSED, 0, "550") for one in leased])
    assert await dead.drop([leased[0].id, "no such one"]) == 1
    assert "body" in await left(client)
    assert await dead.drop([one.id for one in leased[1:]]) == 2
    assert await left(client) == set()


@pytest.mark.usefixtures("made")
async def test_dead_letters_have_an_age(client: Client, deliveries: Deliveries) -> None:
    dead = DeadLetters(client)
    leased = (await deliveries.lease(10)).deliveries
    await deliveries.settle([end(one, Fate.REFUSED, 0, "550") for one in leased])
    now = await client.time()
    assert await dead.sweep(now) == 0
    assert await dead.sweep(now + 31 * 86_400_000) == 3
    assert await left(client) == set()


async def test_l03_a_sweep_keeps_the_bound_however_many_were_buried(client: Client) -> None:
    """A relay that refuses everything buries more between two sweeps than one short script removes."""
    stream, dead = Stream(client, "one"), DeadLetters(client)
    await stream.ensure_group()
    await stream.file([], [Poison(one, "unreadable") for one in await entries(client, stream, 450)])
    assert await dead.count() == 450
    assert await dead.sweep(await client.time() + MAX_AGE_MS + 60_000) == 450
    assert await dead.count() == 0


@pytest.mark.usefixtures("made")
async def test_renewal_tells_which_leases_are_lost(client: Client, deliveries: Deliveries) -> None:
    one, two, _ = (await deliveries.lease(3)).deliveries
    await again(client, two)
    assert await deliveries.renew({one.id: one.fence, two.id: two.fence, "gone": 1}) == [two.id, "gone"]


@pytest.mark.usefixtures("made")
async def test_what_is_there_drains_when_redis_is_full(client: Client, deliveries: Deliveries) -> None:
    """R06: filing is refused (test_filing), but what drains must go on, or the memory would never be free again."""
    stream = Stream(client, "one")
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("b", to=key("other")))], [])
    limit = (await client.redis.config_get("maxmemory"))["maxmemory"]
    await client.redis.config_set("maxmemory", 1)
    try:
        (digest,) = await Digests(client).freeze(10)
        addressed = (Addressed("0", "u@example.org", b"To: u\r\n"),)
        assert await Digests(client).fan_out([Step(digest, 0, 1, True, b"\r\nbody", "bounce@example.org", addressed)])
        leased = (await deliveries.lease(10)).deliveries
        assert len(leased) == 4
        assert await deliveries.renew({one.id: one.fence for one in leased}) == []
        fates = (Fate.SENT, Fate.DEFERRED, Fate.RETURNED, Fate.REFUSED)
        assert await deliveries.settle([end(one, fate) for one, fate in zip(leased, fates, strict=True)]) == 4
        assert await DeadLetters(client).drop([leased[3].id]) == 1
    finally:
        await client.redis.config_set("maxmemory", limit)


async def test_a_body_that_no_other_delivery_shares_comes_with_the_lease(deliveries: Deliveries, made: None) -> None:
    leased = (await deliveries.lease(10)).deliveries
    assert [one.own_body for one in leased] == [None] * 3
    assert await deliveries.bodies([(leased[0].body, False)]) == {(leased[0].body, False): b"\r\nbody"}
    await deliveries.settle([end(one, Fate.SENT) for one in leased[:2]] + [end(leased[2], Fate.DEFERRED)])
    (last,) = (await deliveries.lease(10)).deliveries
    assert last.own_body == b"\r\nbody"


async def test_a_delivery_whose_body_is_gone_says_so(client: Client, deliveries: Deliveries, made: None) -> None:
    first = (await deliveries.lease(1)).deliveries[0]
    await client.redis.delete(client.key(f"body:{first.body}"))
    assert [one.own_body for one in (await deliveries.lease(10)).deliveries] == [None, None]
