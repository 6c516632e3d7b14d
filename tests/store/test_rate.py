"""One rate for all daemons of a namespace: permits in Redis, by its clock (design 6.3, `SMTP_RATE`)."""

import pytest

from kinto_notify.delivery import Delivery
from kinto_notify.rate import Rate
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import LEASE_MS, PERMIT_MS, Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing

#: A window long enough that no slow machine leaves it by chance.
RATE = Rate(3, 3_600_000)


@pytest.fixture
async def made(client: Client) -> None:
    """Ten deliveries of one digest."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("a"))], [])
    (digest,) = await Digests(client).freeze(10)
    addressed = tuple(Addressed(str(n), f"u{n}@example.org", b"To: u%d\r\n" % n) for n in range(10))
    await Digests(client).fan_out([Step(digest, 0, 10, True, b"\r\nbody", "bounce@example.org", addressed)])


class Limited(Deliveries):
    """With three permits a window, whatever their period: `Rate.window` would give them out one by one."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, RATE)
        self._rate = (RATE.count, RATE.per_ms)


def end(delivery: Delivery, fate: Fate, delay: int = 0) -> Settlement:
    return Settlement(delivery.id, delivery.fence, fate, delay, "250 ok")


async def pass_time(client: Client, milliseconds: int) -> None:
    """Let the permits be so much older."""
    told = await client.redis.zrange(client.key("permits"), 0, -1, withscores=True)
    await client.redis.zadd(client.key("permits"), {member: score - milliseconds for member, score in told})


async def throttle_for(client: Client) -> dict[str, float]:
    return {name: float(value) for name, value in (await client.hash("throttle")).items()}


@pytest.mark.usefixtures("made")
async def test_m07_daemons_share_the_permits_of_a_window(client: Client) -> None:
    one, other = Limited(client), Limited(client)
    first, second = await one.lease(2), await other.lease(10)
    assert (len(first.deliveries), len(second.deliveries)) == (2, 1)
    third = await one.lease(10)
    assert third.deliveries == ()
    assert third.wait > 0
    # What was not leased waits in Redis, due as before.
    due = await one.next_due()
    assert due is not None
    assert due <= third.now


@pytest.mark.usefixtures("made")
async def test_m07_a_permit_counts_until_its_window_after_the_settlement(client: Client) -> None:
    """However long a relay takes: it may count a mail at MAIL or after the dot."""
    deliveries = Limited(client)
    leased = (await deliveries.lease(3)).deliveries
    await pass_time(client, 10_000)
    await deliveries.settle([end(leased[0], Fate.SENT), end(leased[1], Fate.DEFERRED, 60_000)])
    await deliveries.settle([end(leased[2], Fate.REFUSED)])
    await pass_time(client, RATE.per_ms - 60_000)
    full = await deliveries.lease(10)
    assert full.deliveries == ()
    assert 0 < full.wait <= 60_001
    await pass_time(client, 61_000)
    assert len((await deliveries.lease(10)).deliveries) == 3


@pytest.mark.usefixtures("made")
async def test_what_was_not_sent_gives_its_permit_back(client: Client) -> None:
    deliveries = Limited(client)
    leased = (await deliveries.lease(3)).deliveries
    await deliveries.settle([end(leased[0], Fate.RETURNED)])
    assert len((await deliveries.lease(10)).deliveries) == 1


@pytest.mark.usefixtures("made")
async def test_a_dead_daemons_permits_come_back(client: Client) -> None:
    """After PERMIT_MS and a window, not after the lease; nobody may hand over a mail without a permit meanwhile."""
    dead, living = Limited(client), Limited(client)
    leased = await dead.lease(3)
    assert leased.sure == PERMIT_MS < LEASE_MS
    await pass_time(client, RATE.per_ms)
    assert (await living.lease(10)).deliveries == ()
    await pass_time(client, PERMIT_MS + 1_000)
    assert len((await living.lease(10)).deliveries) == 3


@pytest.mark.usefixtures("made")
async def test_a_renewed_lease_keeps_its_permit(client: Client) -> None:
    deliveries = Limited(client)
    leased = (await deliveries.lease(3)).deliveries
    await pass_time(client, PERMIT_MS - 1_000)
    await deliveries.renew({one.id: one.fence for one in leased})
    await pass_time(client, RATE.per_ms + 2_000)
    assert (await deliveries.lease(10)).deliveries == ()


@pytest.mark.usefixtures("made")
async def test_what_is_withheld_takes_no_permit_from_the_others(client: Client) -> None:
    for suffix in "01234":
        await client.redis.hset(client.key(f"recipient:{suffix}"), mapping={"suppressed": 1, "reply": "550 5.1.1"})
    deliveries = Limited(client)
    told: list[Delivery] = []
    while leased := (await deliveries.lease(10)).deliveries:
        told += leased
        await deliveries.settle([end(one, Fate.REFUSED if one.suppressed else Fate.SENT) for one in leased])
    assert sum(one.suppressed is None for one in told) == 3


@pytest.mark.usefixtures("made")
async def test_without_a_rate_nothing_is_kept_of_it(client: Client) -> None:
    deliveries = Deliveries(client)
    leased = await deliveries.lease(10)
    assert (len(leased.deliveries), leased.wait, leased.sure, leased.learned) == (10, 0, LEASE_MS, None)
    await deliveries.settle([end(one, Fate.SENT) for one in leased.deliveries])
    assert await client.redis.exists(client.key("permits"), client.key("throttle")) == 0


@pytest.mark.usefixtures("made")
async def test_an_idle_queue_waits_for_no_rate(client: Client) -> None:
    """`run --once` must end."""
    deliveries = Limited(client)
    await deliveries.lease(3)
    await client.redis.delete(client.key("deliveries"))
    assert (await deliveries.lease(3)).wait == 0


@pytest.mark.usefixtures("made")
async def test_s15_a_throttling_relay_halves_what_went_well(client: Client) -> None:
    """Also where no rate is set; nothing more happens in the next ten seconds, and then it halves again."""
    deliveries = Deliveries(client)
    leased = (await deliveries.lease(9)).deliveries
    await deliveries.settle([end(one, Fate.SENT) for one in leased[:6]])
    await deliveries.settle([end(leased[6], Fate.THROTTLED, 5_000)])
    learned = await throttle_for(client)
    assert learned["limit"] == 3
    await deliveries.settle([end(leased[7], Fate.THROTTLED, 5_000)])
    assert await throttle_for(client) == learned
    await client.redis.hset(client.key("throttle"), "since", str(learned["since"] - 10_000))
    await client.redis.delete(client.key("sending"))
    await deliveries.settle([end(leased[8], Fate.THROTTLED, 5_000)])
    halved = (await throttle_for(client))["limit"]
    assert 1.5 <= halved < 3
    # None of the three lost an attempt: their time is the only thing that ends them.
    for one in leased[6:]:
        assert (await client.hash(f"delivery:{one.id}"))["attempts"] == b"0"


@pytest.mark.usefixtures("made")
async def test_s15_the_learned_rate_holds_grows_and_is_forgotten(client: Client) -> None:
    deliveries = Deliveries(client)
    await client.redis.hset(client.key("throttle"), mapping={"limit": 4, "growth": 0.1, "since": await client.time()})
    leased = await deliveries.lease(10)
    assert (len(leased.deliveries), leased.sure) == (4, PERMIT_MS)
    assert leased.learned is not None
    assert 4 <= leased.learned < 6
    # Half a minute later:
    await client.redis.hset(client.key("throttle"), "since", await client.time() - 30_000)
    learned = (await deliveries.lease(10)).learned
    assert learned is not None
    assert 7 <= learned < 9
    await deliveries.settle([end(leased.deliveries[0], Fate.THROTTLED)])
    assert 3_500_000 < await client.redis.pttl(client.key("throttle")) <= 3_600_000
    await client.redis.delete(client.key("throttle"))
    assert len((await deliveries.lease(10)).deliveries) > 0


@pytest.mark.usefixtures("made")
async def test_s15_a_learned_rate_never_exceeds_the_one_that_is_set(client: Client) -> None:
    await client.redis.hset(client.key("throttle"), mapping={"limit": 100, "growth": 1, "since": await client.time()})
    assert len((await Limited(client).lease(10)).deliveries) == 3


@pytest.mark.usefixtures("made")
async def test_s15_below_one_mail_in_ten_seconds_it_does_not_fall(client: Client) -> None:
    deliveries = Deliveries(client)
    (one,) = (await deliveries.lease(1)).deliveries
    before = await client.time() - 3_600_000
    await client.redis.hset(client.key("throttle"), mapping={"limit": 0.1, "growth": 0, "since": before})
    await deliveries.settle([end(one, Fate.THROTTLED)])
    assert (await throttle_for(client))["limit"] == 0.1
