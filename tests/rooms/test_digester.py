"""The digester beside the other rooms of its event loop."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.demo.servers import RedisServer
from kinto_notify.digest import FrozenDigest
from kinto_notify.digester import FATAL_TIMES, FIRST_STEP, STEP, TURN_S, WORN_LEASES, Digester
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.digests import Digests, Step
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.digests import SENDER
from support.filings import entries, filed, filing, key


async def test_the_loop_turns_between_two_mails(client: Client) -> None:
    """A large mail takes 50 ms to compose: sixty of them at once would keep sessions and signals waiting."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, *(filing("r", to=key(group=str(number))) for number in range(20)))], [])
    composer, turns, at_each = Composer(sender=SENDER), 0, []

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def composing() -> Composer:
        at_each.append(turns)
        # That large is each of them.
        time.sleep(2 * TURN_S)
        return composer

    turning = asyncio.create_task(turn())
    digester = Digester(
        Digests(client), Alone(client), composing, Telemetry(), bounce_address="b@example.org", ready=lambda: None
    )
    assert await digester.work() == 20
    turning.cancel()
    assert len(set(at_each)) == 20
    assert (await overview(client)).deliveries == 20


async def test_the_first_mails_are_on_their_way_while_the_others_are_composed(client: Client) -> None:
    """Sessions may be idle: they wait for a few mails, not for all that were due."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, *(filing("r", to=key(group=str(number))) for number in range(40)))], [])
    composer, composed, at_hand = Composer(sender=SENDER), 0, []

    def composing() -> Composer:
        nonlocal composed
        composed += 1
        return composer

    digester = Digester(
        Digests(client),
        Alone(client),
        composing,
        Telemetry(),
        bounce_address="b@example.org",
        ready=lambda: at_hand.append(composed),
    )
    assert await digester.work() == 40
    assert at_hand == [FIRST_STEP + 1, 40]
    assert (await overview(client)).deliveries == 40


async def due(client: Client, *groups: str) -> list[FrozenDigest]:
    """Frozen digests of these groups, their first lease over."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    for group in groups:
        (entry,) = await entries(client, stream, 1)
        await stream.file([filed(entry, filing("r", to=key(group=group)))], [])
    found = await Digests(client).freeze(10)
    await over(client, *found)
    return found


async def over(client: Client, *digests: FrozenDigest) -> None:
    """The time of their leases is over."""
    await client.redis.zadd(client.key("frozen"), dict.fromkeys((one.id for one in digests), 1))


def room(client: Client) -> Digester:
    """The room of a daemon that has just started."""
    composer = Composer(sender=SENDER)
    arguments = {"bounce_address": "b@example.org", "ready": lambda: None}
    return Digester(Digests(client), Alone(client), lambda: composer, Telemetry(), **arguments)


async def test_a_digest_that_ends_daemons_is_buried_and_the_others_are_composed(client: Client) -> None:
    """D12, D17: an endless template, too much memory: nothing but what happened tells of it."""
    fatal, good = await due(client, "fatal", "good")
    for _ in range(WORN_LEASES):
        await Digests(client).freeze(10)
        await over(client, fatal, good)
    for _ in range(FATAL_TIMES):
        # A daemon noted that it begins, and died.
        await Alone(client).begin(fatal.id)
    assert await room(client).work() == 2
    (letter,) = [one async for one in DeadLetters(client).newest()]
    assert (letter.id, letter.kind) == (f"digest-{fatal.id}", "digest")
    assert "ended the daemon 3 times" in letter.reason
    assert (await overview(client)).deliveries == 1
    assert await client.hash("alone") == {}
    # Once its template is mended it can be tried again.
    await DeadLetters(client).retry(letter.id)
    assert await room(client).work() == 1
    assert (await overview(client)).deliveries == 2


async def test_worn_digests_come_last_and_one_by_one(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """The one that is fatal must not take the others of its batch along for ever."""
    worn = await due(client, "a", "b")
    for _ in range(WORN_LEASES):
        await over(client, *worn)
        await Digests(client).freeze(10)
    (fresh,) = await due(client, "c")
    await over(client, *worn)
    assert await room(client).work() == 3
    order = [
        line.partition("digest=")[2].split()[0] for line in capsys.readouterr().out.splitlines() if "digest=" in line
    ]
    assert [fresh.id in told for told in order] == [True, False, False]
    assert (await overview(client)).deliveries == 3


async def test_r01_faults_of_redis_never_bury_a_digest(redis_server: RedisServer, client: Client) -> None:
    """Redis takes the begin, but neither the fan-out nor the end: as often as it likes."""
    (digest,) = await due(client, "a")
    await client.redis.hset(client.key(f"frozen:{digest.id}"), "fence", "9")
    rights = ["+@all", "-hsetnx", "-hdel"]
    await client.redis.acl_setuser("lame", enabled=True, nopass=True, keys=["*"], commands=rights)
    halved = Client(redis_server.url.replace("redis://", "redis://lame:x@"), client.prefix.strip("{}"))
    lame = room(halved)
    for _ in range(FATAL_TIMES + 2):
        # It has run scripts before it lost the right to all of them.
        halved._permitted = True
        with pytest.raises(StoreUnavailable):
            await lame.work()
        await over(client, digest)
    await halved.close()
    assert await DeadLetters(client).count() == 0
    assert (await client.hash("alone"))[digest.id] == b"1"
    await room(client).work()
    assert await client.hash("alone") == {}


async def test_a_fault_of_redis_keeps_no_digest_waiting_for_the_end_of_its_lease(
    redis_server: RedisServer, client: Client
) -> None:
    """What was leased stays in hand, and is composed as soon as Redis takes it; each is counted once."""
    await due(client, "a", "b")
    rights = ["+@all", "-hsetnx"]
    await client.redis.acl_setuser("slow", enabled=True, nopass=True, keys=["*"], commands=rights)
    halved = Client(redis_server.url.replace("redis://", "redis://slow:x@"), client.prefix.strip("{}"))
    halved._permitted = True
    telemetry = Telemetry()
    made = Digester(
        Digests(halved),
        Alone(halved),
        lambda: Composer(sender=SENDER),
        telemetry,
        bounce_address="b@example.org",
        ready=lambda: None,
    )
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await made.work()
        halved._permitted = True
    await client.redis.acl_setuser("slow", enabled=True, nopass=True, keys=["*"], commands=["+@all"])
    # Nobody else would get them yet.
    assert await Digests(client).freeze(10) == []
    assert await made.work() == 2
    assert await made.work() == 0
    await halved.close()
    assert (await overview(client)).deliveries == 2
    assert telemetry.registry.get_sample_value("kinto_notify_digests_total", {"result": "composed"}) == 2


async def test_l04_the_headers_of_many_recipients_are_never_all_in_memory(client: Client) -> None:
    """The room counts what it composes ahead of what is in Redis: two steps at most, of a digest for six."""
    ahead: list[int] = []

    class Counting(Composer):
        made = 0

        def headers(self, digest: FrozenDigest, recipient: Mailbox) -> bytes:
            self.made += 1
            return super().headers(digest, recipient)

    class Watched(Digests):
        async def fan_out(self, steps: Sequence[Step]) -> int:
            ahead.append(composer.made - sum(handed_over))
            done = await super().fan_out(steps)
            handed_over.append(done)
            return done

    composer, handed_over = Counting(sender=SENDER), list[int]()
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    many = tuple(Mailbox("", f"r{number}@example.org") for number in range(6 * STEP - 10))
    await stream.file([filed(entry, filing(recipients=many))], [])
    digester = Digester(
        Watched(client),
        Alone(client),
        lambda: composer,
        Telemetry(),
        bounce_address="b@example.org",
        ready=lambda: None,
    )
    assert await digester.work() == 1
    assert composer.made == sum(handed_over) == len(many)
    assert max(ahead) <= 2 * STEP
