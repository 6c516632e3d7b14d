"""Everything in Redis has a bound or an age, and every number is the one that was promised (design 4, end)."""

import pytest

from kinto_notify.digest import DigestRules
from kinto_notify.store import stream as stream_module
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Poison, Stream
from support.filings import entries, filed, filing, key


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


async def pace(client: Client) -> str:
    """The one memory of an interval that there is."""
    (found,) = await client.redis.keys(client.key("pace:*"))
    return str(found.decode())


async def mailed(client: Client, stream: Stream, rules: DigestRules, ident: str = "a", number: int = 1) -> int:
    """File so many changes; return in how many ms their digest is due, and freeze it."""
    (one,) = await entries(client, stream, 1)
    result = await stream.file([filed(one, filing(*(f"{ident}{n}" for n in range(number)), rules=rules))], [])
    await client.redis.zadd(client.key("due"), {key().id: 0})
    assert len(await Digests(client).freeze(10)) == 1
    return result.soonest


@pytest.mark.parametrize(("told", "most"), [(None, 86_400), (600, 600)])
async def test_known_ids_are_kept_as_long_as_the_outbox_keeps_rows(
    client: Client, stream: Stream, told: int | None, most: int
) -> None:
    if told is not None:
        await client.redis.hset(client.key("meta"), "retention", str(told))
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a"))], [])
    (seen,) = await client.redis.keys(client.key("seen:*"))
    assert most < await client.redis.ttl(seen) <= most + 7_200


async def test_the_memory_of_an_interval_has_an_age(client: Client, stream: Stream) -> None:
    await mailed(client, stream, DigestRules(wait=0, interval=100_000, max_wait=200_000))
    assert 100_000 < await client.redis.pttl(await pace(client)) <= 200_000


async def test_after_a_calm_the_interval_starts_anew(client: Client, stream: Stream) -> None:
    rules = DigestRules(wait=0, interval=100_000, max_wait=1_000_000)
    for _ in range(3):
        await mailed(client, stream, rules)
    memory = await pace(client)
    assert await client.redis.hget(memory, "interval") == b"225000"
    # Nothing came for longer than the interval.
    await client.redis.hset(memory, "last", await client.time() - 300_000)
    assert await mailed(client, stream, rules) == 0
    assert await client.redis.hget(memory, "interval") == b"100000"


async def test_max_events_waits_for_the_interval_but_not_for_the_grown_one(client: Client, stream: Stream) -> None:
    rules = DigestRules(wait=50_000, interval=100_000, max_wait=1_000_000, max_events=5)
    for _ in range(3):
        await mailed(client, stream, rules)
    assert 200_000 < await mailed(client, stream, rules) <= 225_000
    assert 90_000 < await mailed(client, stream, rules, number=5) <= 100_000


async def test_no_more_is_frozen_than_can_be_composed(client: Client, stream: Stream) -> None:
    """What a crash left comes first; open digests go on gathering meanwhile."""
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, *(filing("a", to=key(group=str(number))) for number in range(5)))], [])
    left = await Digests(client).freeze(2)
    await client.redis.zadd(client.key("frozen"), dict.fromkeys((digest.id for digest in left), 0))
    again = await Digests(client).freeze(2)
    assert {digest.id for digest in again} == {digest.id for digest in left}
    assert (await overview(client)).open_digests == 3


async def test_dead_letters_have_a_number(client: Client, stream: Stream) -> None:
    """The oldest go first. `sweep` asks for 10,000 to be kept."""
    found = await entries(client, stream, 10)
    for one in found:
        await stream.file([], [Poison(one, "unreadable")])
        await client.redis.zadd(client.key("dead"), {f"entry-{one.id}": one.added + int(one.id.partition("-")[2])})
    ranked = await client.newest("dead", 0, 10)
    assert await client.run("drop", client.key("dead"), [0, 3, 5]) == 5
    assert await client.run("drop", client.key("dead"), [0, 3, 5]) == 2
    assert await client.newest("dead", 0, 10) == ranked[:3]
    assert len(await client.redis.keys(client.key("dead:*"))) == 3


async def delivered(client: Client, stream: Stream) -> Deliveries:
    """One delivery."""
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a"))], [])
    (digest,) = await Digests(client).freeze(1)
    addressed = (Addressed("0", "u@example.org", b"To: u\r\n"),)
    await Digests(client).fan_out([Step(digest, 0, 1, True, b"\r\nbody", "bounce@example.org", addressed)])
    return Deliveries(client)


async def test_sent_is_true_even_of_what_another_daemon_buried(client: Client, stream: Stream) -> None:
    deliveries = await delivered(client, stream)
    (zombie,) = (await deliveries.lease(1)).deliveries
    await client.redis.zadd(client.key("deliveries"), {zombie.id: 0})
    (current,) = (await deliveries.lease(1)).deliveries
    await deliveries.settle([Settlement(current.id, current.fence, Fate.REFUSED, 0, "given up")])
    assert await deliveries.settle([Settlement(zombie.id, zombie.fence, Fate.SENT)]) == 1
    assert await DeadLetters(client).count() == 0
    for kind in ("dead:*", "body:*", "delivery:*"):
        assert await client.redis.keys(client.key(kind)) == []


async def test_a_delivery_that_is_tried_again_by_hand_has_its_full_time(client: Client, stream: Stream) -> None:
    deliveries = await delivered(client, stream)
    (old,) = (await deliveries.lease(1)).deliveries
    await client.redis.hset(client.key(f"delivery:{old.id}"), "first", "1")
    await deliveries.settle([Settlement(old.id, old.fence, Fate.REFUSED, 0, "given up")])
    assert await DeadLetters(client).retry(old.id)
    leased = await deliveries.lease(1)
    assert leased.now - leased.deliveries[0].first < 3_600_000


async def test_a_due_time_without_a_delivery_is_let_go(client: Client, stream: Stream) -> None:
    deliveries = await delivered(client, stream)
    await client.redis.delete(*(await client.redis.keys(client.key("delivery:*"))))
    assert (await deliveries.lease(1)).deliveries == ()
    assert await deliveries.next_due() is None


async def test_m04_silent_consumers_go_when_nothing_of_theirs_is_pending(
    client: Client, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entries(client, Stream(client, "busy"), 1)
    for name in ("idle", "one"):
        # Not an empty read: Redis 6.2 makes a consumer when it has something for it.
        (each,) = await entries(client, Stream(client, name), 1)
        await stream.file([filed(each, filing("a"))], [])
    assert await stream.sweep_consumers() == 0
    # A day later:
    monkeypatch.setattr(stream_module, "_SILENT_MS", -1)
    assert await stream.sweep_consumers() == 1
    told = await client.redis.xinfo_consumers(client.stream, "kinto-notify")
    assert {one["name"] for one in told} == {b"busy", b"one"}


async def test_dead_letters_have_a_size(client: Client, stream: Stream) -> None:
    """Ten thousand entries of 256 KiB would be 2.5 GB: the newest are kept, of so many bytes together."""
    dead, ids = DeadLetters(client), []
    for index in range(10):
        await client.redis.xadd(client.stream, {"v": "1", "event": "x" * 10_240})
        (one,) = await stream.read()
        await stream.file([], [Poison(one, "unreadable")])
        # Whatever the clock says: the order of their burial.
        await client.redis.zadd(client.key("dead"), {f"entry-{one.id}": index})
        ids.append(f"entry-{one.id}")
    # An entry counts 10 KiB and 1 KiB for what Redis needs beside.
    assert await dead.sweep(1, 55_000) == 6
    assert await client.newest("dead", 0, 10) == ids[:5:-1]
    assert len(await client.redis.keys(client.key("dead:*"))) == 4
    assert await dead.sweep(1, 55_000) == 0
    # One more makes another one too many.
    await client.redis.xadd(client.stream, {"v": "1", "event": "x" * 10_240})
    (one,) = await stream.read()
    await stream.file([], [Poison(one, "unreadable")])
    assert await dead.sweep(1, 55_000) == 1
    assert await client.newest("dead", 0, 10) == [f"entry-{one.id}", *ids[:6:-1]]


async def test_mails_of_one_digest_weigh_their_body_once(client: Client, stream: Stream) -> None:
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a"))], [])
    (digest,) = await Digests(client).freeze(1)
    addressed = tuple(Addressed(str(index), f"u{index}@example.org", b"To: u\r\n") for index in range(20))
    body = b"\r\n" + b"x" * 50_000
    await Digests(client).fan_out([Step(digest, 0, 20, True, body, "bounce@example.org", addressed)])
    deliveries, dead = Deliveries(client), DeadLetters(client)
    leased = (await deliveries.lease(20)).deliveries
    await deliveries.settle([Settlement(each.id, each.fence, Fate.REFUSED, 0, "550 no") for each in leased])
    assert await dead.sweep(1, 80_000) == 0
    # Less than the body alone: the last one gone takes it along.
    assert await DeadLetters(client).sweep(1, 50_000) == 20
    assert await client.redis.keys(client.key("body:*")) == []
