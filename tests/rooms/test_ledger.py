"""The ledger keeps what Redis has not heard, and knows by our own clock what is still ours."""

import asyncio
import time
from pathlib import Path

import pytest

from kinto_notify import ledger as ledger_module
from kinto_notify.delivery import Delivery
from kinto_notify.demo.servers import RedisServer
from kinto_notify.errors import StoreUnavailable
from kinto_notify.ledger import Ledger
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import LEASE_MS, Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.filings import entries, filed, filing


async def make(client: Client, number: int) -> None:
    """So many deliveries of one digest."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("a"))], [])
    (digest,) = await Digests(client).freeze(10)
    addressed = tuple(Addressed(str(n), f"u{n}@example.org", b"To: u%d\r\n" % n) for n in range(number))
    await Digests(client).fan_out([Step(digest, 0, number, True, b"\r\nbody", "bounce@example.org", addressed)])


async def hold(client: Client, ledger: Ledger, number: int) -> tuple[Delivery, ...]:
    since = time.monotonic()
    leased = (await Deliveries(client).lease(number)).deliveries
    ledger.hold(leased, since)
    return leased


@pytest.fixture
def ledger(client: Client) -> Ledger:
    return Ledger(Deliveries(client), Telemetry())


async def test_a_lease_is_ours_until_it_is_settled_dropped_or_over(client: Client, ledger: Ledger) -> None:
    await make(client, 3)
    settled, dropped, old = await hold(client, ledger, 3)
    assert all(map(ledger.ours, (settled, dropped, old)))
    ledger.settle(Settlement(settled.id, settled.fence, Fate.SENT))
    ledger.drop(dropped)
    ledger.hold([old], time.monotonic() - LEASE_MS / 1000)
    assert not any(map(ledger.ours, (settled, dropped, old)))


async def test_a_lease_taken_anew_is_not_the_old_one(client: Client, ledger: Ledger) -> None:
    """D11: the same delivery under another fence is another's work."""
    await make(client, 1)
    (first,) = await hold(client, ledger, 1)
    await client.redis.zadd(client.key("deliveries"), {first.id: 0})
    (second,) = await hold(client, ledger, 1)
    assert ledger.ours(second)
    assert not ledger.ours(first)


async def test_all_that_is_noted_is_told(client: Client, ledger: Ledger) -> None:
    """More than one script takes."""
    await make(client, 400)
    held = await hold(client, ledger, 400)
    for one in held:
        ledger.settle(Settlement(one.id, one.fence, Fate.SENT))
    for _ in range(200):
        ledger.settle(Settlement("gone", 1, Fate.SENT))
    assert ledger.untold == 600
    await ledger.work()
    assert ledger.untold == 0
    told = await overview(client)
    assert (told.deliveries, told.totals["sent"]) == (0, 400)


async def test_r01_what_redis_does_not_hear_stays_noted(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        client = Client(server.url, "t")
        ledger = Ledger(Deliveries(client), Telemetry())
        await make(client, 2)
        one, two = await hold(client, ledger, 2)
        ledger.settle(Settlement(one.id, one.fence, Fate.SENT))
        server.stop()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await ledger.work()
        ledger.settle(Settlement(two.id, two.fence, Fate.DEFERRED, 60_000, "450 later"))
        assert ledger.untold == 2
        server.start()
        await ledger.work()
        assert ledger.untold == 0
        told = await overview(client)
        assert (told.deliveries, told.totals["sent"], told.totals["deferred"]) == (1, 1, 1)
        await client.close()


async def test_a_settlement_wakes_it(client: Client, ledger: Ledger) -> None:
    await make(client, 1)
    (one,) = await hold(client, ledger, 1)
    waiting = asyncio.create_task(ledger.work())
    await asyncio.sleep(0)
    ledger.settle(Settlement(one.id, one.fence, Fate.SENT))
    await waiting
    assert ledger.untold == 0


async def scripts(client: Client) -> int:
    """How many scripts this Redis has run."""
    return int((await client.redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_where_many_are_under_way_settlements_are_told_together(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_GATHER_S", 0.3)
    await make(client, 20)
    held = await hold(client, ledger, 20)
    ledger.settle(Settlement(held[0].id, held[0].fence, Fate.SENT))
    before = await scripts(client)
    working = asyncio.create_task(ledger.work())
    for one in held[1:5]:
        await asyncio.sleep(0.02)
        ledger.settle(Settlement(one.id, one.fence, Fate.SENT))
    await working
    assert ledger.untold == 0
    assert await scripts(client) == before + 1
    assert (await overview(client)).totals["sent"] == 5


async def test_a_lone_settlement_is_told_at_once(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_GATHER_S", 3600.0)
    await make(client, 2)
    one, _ = await hold(client, ledger, 2)
    ledger.settle(Settlement(one.id, one.fence, Fate.SENT))
    async with asyncio.timeout(30):
        await ledger.work()
    assert ledger.untold == 0


async def test_leases_are_renewed_and_lost_ones_are_told(
    client: Client, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    await make(client, 2)
    mine, taken = await hold(client, ledger, 2)
    soon = await client.time() + 5_000
    await client.redis.zadd(client.key("deliveries"), {mine.id: soon, taken.id: 0})
    await Deliveries(client).lease(1)
    # Twenty seconds later:
    ledger._next_renewal = time.monotonic()
    await ledger.work()
    assert ledger.ours(mine)
    assert not ledger.ours(taken)
    due = await client.redis.zscore(client.key("deliveries"), mine.id)
    assert due is not None
    assert due > soon
    told = capsys.readouterr().out
    assert "lease lost" in told
    assert taken.id in told
    assert mine.id not in told
