"""The stream: whose entries are whose, what is trimmed, and which consumers stay."""

import asyncio
from collections.abc import Sequence

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.catalogue import Catalogue
from kinto_notify.demo.servers import RedisServer
from kinto_notify.errors import ConfigError, StoreUnavailable
from kinto_notify.intake import FATAL_TIMES, WORN_DELIVERIES, Intake
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.stream import CLAIM_IDLE_MS, FEW, Entry, Filed, FilingResult, Poison, Stream
from kinto_notify.subscription import Presentation, Subscription
from kinto_notify.telemetry import Telemetry
from support.events import change, event, fields
from support.filings import entries, filed, filing
from support.subscribed import catalogue_of


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


@pytest.fixture
def catalogue() -> Catalogue:
    subscription = Subscription(Presentation("file", "all"), (Mailbox("", "anna@example.org"),), "{}")
    return catalogue_of(subscription)


@pytest.fixture
def intake(client: Client, stream: Stream, catalogue: Catalogue) -> Intake:
    return Intake(stream, Alone(client), lambda: catalogue, Telemetry(), keep_ms=60_000, due=lambda delay: None)


async def test_unfiled_entries_are_read_again_and_counted(client: Client, stream: Stream) -> None:
    """R15: after every error our own pending entries come first."""
    (one,) = await entries(client, stream, 1)
    assert [entry.id for entry in await stream.pending()] == [one.id]
    (again,) = await stream.pending()
    assert again.delivered > one.delivered
    await stream.file([filed(again, filing())], [])
    assert await stream.pending() == []


async def test_an_entry_that_ends_daemons_is_buried_and_the_others_are_filed(
    client: Client, stream: Stream, intake: Intake
) -> None:
    """D17: what a process does not survive cannot be told from its content, only from what happened."""
    await client.redis.xadd(client.stream, fields(event(change("fatal"))))
    (worn,) = await stream.read()
    for _ in range(WORN_DELIVERIES + 1):
        await stream.pending()
    for _ in range(FATAL_TIMES):
        # A daemon noted that it begins, and died.
        await Alone(client).begin(worn.id)
    await client.redis.xadd(client.stream, fields(event(change("good"))))
    while await intake.work(wait=False):
        pass
    (letter,) = [one async for one in DeadLetters(client).newest()]
    assert letter.id == f"entry-{worn.id}"
    assert "ended the daemon" in letter.reason
    assert await client.hash("totals") == {"batches": b"2", "events": b"1", "changes": b"1", "known": b"0"}
    assert await client.hash("alone") == {}


async def test_a_worn_entry_that_does_no_harm_is_filed(client: Client, stream: Stream, intake: Intake) -> None:
    """Faults of Redis made it worn, not its content."""
    await client.redis.xadd(client.stream, fields(event(change("good"))))
    await stream.read()
    for _ in range(WORN_DELIVERIES + 3):
        await stream.pending()
    while await intake.work(wait=False):
        pass
    assert await DeadLetters(client).count() == 0
    assert (await client.hash("totals"))["events"] == b"1"
    assert await client.hash("alone") == {}


async def test_r01_faults_of_redis_never_bury_what_is_handled_alone(
    redis_server: RedisServer, client: Client, stream: Stream, catalogue: Catalogue
) -> None:
    """Redis takes the begin, but neither the filing nor the end: as often as it likes."""
    await client.redis.xadd(client.stream, fields(event(change("good"))))
    await stream.read()
    for _ in range(WORN_DELIVERIES + 1):
        await stream.pending()
    rights = ["+@all", "-evalsha", "-eval", "-hdel"]
    await client.redis.acl_setuser("halved", enabled=True, nopass=True, keys=["*"], commands=rights)
    halved = Client(redis_server.url.replace("redis://", "redis://halved:x@"), client.prefix.strip("{}"))
    intake = Intake(
        Stream(halved, "one"), Alone(halved), lambda: catalogue, Telemetry(), keep_ms=60_000, due=lambda delay: None
    )
    for _ in range(FATAL_TIMES + 2):
        with pytest.raises(StoreUnavailable):
            await intake.work(wait=False)
    await client.redis.acl_setuser("halved", enabled=True, nopass=True, keys=["*"], commands=["+@all"])
    assert await intake.work(wait=False) == 1
    await halved.close()
    assert await DeadLetters(client).count() == 0
    assert (await client.hash("totals"))["events"] == b"1"
    assert await client.hash("alone") == {}


class Halting(Stream):
    """A stream whose filings wait until they are let go, and whose second one Redis does not take."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, "one")
        self.filings, self.go_on, self.read_again = 0, asyncio.Event(), asyncio.Event()

    async def read(self, *, wait: bool = True) -> list[Entry]:
        found = await super().read(wait=wait)
        if self.filings:
            self.read_again.set()
        return found

    async def file(self, filed: Sequence[Filed], poison: Sequence[Poison]) -> FilingResult:
        self.filings += 1
        await self.go_on.wait()
        if self.filings == 2:
            raise StoreUnavailable("away")
        return await super().file(filed, poison)


async def test_the_next_batch_is_read_while_one_is_filed_and_a_fault_of_that_loses_none(
    client: Client, catalogue: Catalogue
) -> None:
    stream = Halting(client)
    intake = Intake(stream, Alone(client), lambda: catalogue, Telemetry(), keep_ms=60_000, due=lambda delay: None)
    for number in range(3 * FEW + 1):
        await client.redis.xadd(client.stream, fields(event(change(str(number)))))
    assert await intake.work(wait=False) == FEW
    meanwhile = asyncio.create_task(intake.work(wait=False))
    async with asyncio.timeout(10):
        await stream.read_again.wait()
    assert (stream.filings, await client.hash("totals")) == (1, {})
    stream.go_on.set()
    assert await meanwhile == 2 * FEW
    with pytest.raises(StoreUnavailable):
        await intake.work(wait=False)
    while await intake.work(wait=False):
        pass
    assert (await client.hash("totals"))["events"] == str(3 * FEW + 1).encode()
    assert await stream.pending() == []


async def test_a_drain_waits_for_what_is_being_filed(client: Client, catalogue: Catalogue) -> None:
    stream = Halting(client)
    intake = Intake(stream, Alone(client), lambda: catalogue, Telemetry(), keep_ms=60_000, due=lambda delay: None)
    for number in range(FEW):
        await client.redis.xadd(client.stream, fields(event(change(str(number)))))
    assert await intake.work(wait=False) == FEW
    ending = asyncio.create_task(intake.finish())
    await asyncio.sleep(0)
    stream.go_on.set()
    await ending
    assert (await client.hash("totals"))["events"] == str(FEW).encode()


async def test_what_is_noted_of_entries_handled_alone_has_an_age(client: Client, stream: Stream) -> None:
    await Alone(client).begin("1-1")
    assert await client.redis.pttl(client.key("alone")) > 0


async def test_r18_entries_of_a_dead_daemon_that_were_trimmed_are_named(
    client: Client, stream: Stream, intake: Intake, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.redis.xadd(client.stream, fields(event(change("trimmed"))))
    await client.redis.xadd(client.stream, fields(event(change("there"))))
    trimmed, there = await Stream(client, "dead").read()
    idle = 10 * CLAIM_IDLE_MS
    await client.redis.xclaim(client.stream, "kinto-notify", "dead", 0, [trimmed.id, there.id], idle=idle)
    await client.redis.xdel(client.stream, trimmed.id)
    while await intake.work(wait=False):
        pass
    told = capsys.readouterr().out
    assert "entries lost from the stream" in told
    assert trimmed.id in told
    assert there.id not in told
    assert (await client.hash("totals"))["events"] == b"1"
    assert (await client.redis.xpending(client.stream, "kinto-notify"))["pending"] == 0


async def test_a_consumer_leaves_only_with_nothing_pending(client: Client, stream: Stream) -> None:
    (one,) = await entries(client, stream, 1)
    await stream.leave()
    assert [entry.id for entry in await stream.pending()] == [one.id]
    await stream.file([filed(one, filing())], [])
    await stream.leave()
    assert await client.redis.xinfo_consumers(client.stream, "kinto-notify") == []


async def test_entries_trimmed_while_pending_are_named(client: Client, stream: Stream) -> None:
    """R18: somebody else trimmed them; they come back without content, and are let go."""
    one, two = await entries(client, stream, 2)
    await client.redis.xdel(client.stream, one.id)
    found = await stream.pending()
    assert [(entry.id, bool(entry.fields)) for entry in found] == [(one.id, False), (two.id, True)]
    await stream.forget([one.id])
    assert [entry.id for entry in await stream.pending()] == [two.id]


async def test_trimming_keeps_what_is_not_filed(client: Client, stream: Stream) -> None:
    one, two, three = await entries(client, stream, 3)
    await stream.file([filed(one, filing()), filed(three, filing())], [])
    await stream.trim(keep=0)
    assert [key.decode() for key, _ in await client.redis.xrange(client.stream)] == [two.id]
    await stream.file([filed(two, filing())], [])
    await stream.trim(keep=0)
    assert await client.redis.xlen(client.stream) == 0


async def test_a_dead_group_cannot_keep_the_stream_for_ever(client: Client, stream: Stream) -> None:
    """STREAM_KEEP is how long another group may be behind; what we have not read ourselves stays longer."""
    one, two = await entries(client, stream, 2)
    await client.redis.xgroup_create(client.stream, "dead", id="0")
    await stream.file([filed(one, filing())], [])
    await stream.trim(keep=3_600_000)
    assert await client.redis.xlen(client.stream) == 2
    while await client.time() <= two.added:
        pass
    await stream.trim(keep=0)
    assert [key.decode() for key, _ in await client.redis.xrange(client.stream)] == [two.id]


async def test_a_stream_that_went_away_is_no_bug(client: Client, stream: Stream) -> None:
    """R04: FLUSHALL between two commands."""
    await client.redis.delete(client.stream)
    for command in (stream.read(wait=False), stream.trim(1), stream.sweep_consumers()):
        with pytest.raises(StoreUnavailable):
            await command


async def test_a_sentinel_url_asks_the_sentinels(client: Client) -> None:
    """R09: nobody there is an outage, not a crash."""
    lost = Client("redis+sentinel://user:pass@127.0.0.1:1,127.0.0.1:2/primary/0", "t")
    with pytest.raises(StoreUnavailable, match="primary"):
        await lost.time()
    await lost.close()


def test_urls_that_are_not_to_be_had() -> None:
    for url in ("redis+sentinel://127.0.0.1:1", "redis+sentinel://h:x/primary", "redis+sentinel://h:1/primary/zero"):
        with pytest.raises(ConfigError, match=r"redis\+sentinel://"):
            Client(url, "t")


async def test_l05_large_entries_are_filed_in_batches_that_let_the_loop_turn(client: Client, stream: Stream) -> None:
    """Twenty subscriptions of a plural write: the lines of all entries that were read would be 20 MB in one script."""
    subscriptions = tuple(
        Subscription(Presentation("file", f"s{number}"), (Mailbox("", "anna@example.org"),), str(number))
        for number in range(20)
    )
    catalogue = catalogue_of(*subscriptions)
    intake = Intake(stream, Alone(client), lambda: catalogue, Telemetry(), keep_ms=60_000, due=lambda delay: None)
    many = [change(f"r{number}", new={"id": f"r{number}", "text": "x" * 300}) for number in range(100)]
    for _ in range(15):
        await client.redis.xadd(client.stream, fields(event(*many)))
    batches = [await intake.work(wait=False) for _ in range(5)]
    assert 5 <= sum(batches) < 15
    # All were read; what is left of them is filed at the end, or it would wait a minute for another daemon.
    assert (await client.redis.xpending(client.stream, "kinto-notify"))["pending"] == 15 - sum(batches)
    await intake.finish()
    assert (await client.redis.xpending(client.stream, "kinto-notify"))["pending"] == 0
    assert await intake.work(wait=False) == 0
    assert (await client.hash("totals"))["changes"] == b"30000"
