"""Quotas of hooks (X05): per recipient and per bucket, shared by all daemons, by Redis' clock; what is over is kept."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.demo.servers import RedisServer
from kinto_notify.digest import DigestKey, Filing
from kinto_notify.rate import Rate
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.digests import Addressed, Digests, Quotas, Step
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing

HOOK = "/buckets/blog/collections/articles#0"
OTHER = "/buckets/blog#1"
HOUR = 3_600_000


@dataclass(slots=True)
class Mailing:
    """Daemons that share a namespace: each mail is fanned out by the next one of them."""

    daemons: list[Client]
    quotas: Quotas
    told: list[tuple[str, int, int]] = field(default_factory=list)
    made: int = 0

    async def mail(self, identity: str, *to: str) -> list[str]:
        """Let a digest of this hook become mails; return to whom they go."""
        self.made += 1
        client = self.daemons[self.made % len(self.daemons)]
        boxes = tuple(Mailbox("", address) for address in to)
        stream = Stream(client, "one")
        await stream.ensure_group()
        (entry,) = await entries(client, stream, 1)
        like = filing("a")
        key = DigestKey(identity, like.key.text, (("n", str(self.made)),))
        await stream.file([filed(entry, Filing(key, like.rules, boxes, like.counts, like.lines))], [])
        digests = Digests(client, self.quotas, lambda *told: self.told.append(told))
        (digest,) = await digests.freeze(1)
        addressed = tuple(Addressed(one.fingerprint, one.address, b"To: x\r\n") for one in boxes)
        step = Step(digest, 0, len(to), True, b"\r\nbody", "bounce@example.org", addressed)
        number = await digests.fan_out([step])
        # A step that is done again, since its answer was lost, takes nothing.
        assert await digests.fan_out([step]) == 0
        leased = [one.recipient for one in (await Deliveries(client).lease(1_000)).deliveries]
        assert number == len(leased)
        return leased


@pytest.fixture
async def two(client: Client, redis_server: RedisServer) -> AsyncIterator[list[Client]]:
    """Two daemons' stores of one namespace."""
    other = Client(redis_server.url, client.prefix[1:-1])
    yield [client, other]
    await other.close()


async def reasons(client: Client) -> list[tuple[str, str]]:
    return [(one.text("recipient"), one.reason) async for one in DeadLetters(client).newest()]


async def test_x05_a_recipient_gets_no_more_than_the_quota_of_all_hooks_and_daemons(two: list[Client]) -> None:
    mailing = Mailing(two, Quotas(recipient=Rate(3, HOUR)))
    sent = [await mailing.mail(hook, "ann@example.org") for hook in (HOOK, OTHER, "/buckets/other#0", HOOK, OTHER)]
    assert sent == [["ann@example.org"]] * 3 + [[], []]
    assert await mailing.mail(HOOK, "ANN@example.org", "ben@example.org") == ["ben@example.org"]
    over = "over the RECIPIENT_RATE of hooks"
    assert await reasons(two[0]) == [("ANN@example.org", over), ("ann@example.org", over), ("ann@example.org", over)]
    assert mailing.told == [(HOOK, 1, 1), (OTHER, 1, 1), (HOOK, 1, 2)]
    # No address stands in a key.
    assert not [name for name in await two[0].redis.keys("*") if b"ann" in name.lower()]


async def test_x05_a_bucket_sends_no_more_than_its_quota(two: list[Client]) -> None:
    mailing = Mailing(two, Quotas(bucket=Rate(5, HOUR)))
    many = [f"r{number}@example.org" for number in range(4)]
    assert sorted(await mailing.mail(HOOK, *many)) == many
    assert len(await mailing.mail(OTHER, *many)) == 1
    assert await mailing.mail("/buckets/blog-2#0", "ann@example.org") == ["ann@example.org"]
    assert [reason for _, reason in await reasons(two[0])] == ["over the BUCKET_RATE of hooks"] * 3
    assert mailing.told == [(OTHER, 3, 3)]


async def test_the_operators_own_subscriptions_have_no_quota_and_count_for_none(two: list[Client]) -> None:
    mailing = Mailing(two, Quotas(Rate(1, HOUR), Rate(1, HOUR)))
    for _ in range(3):
        assert await mailing.mail("file#articles", "ann@example.org") == ["ann@example.org"]
    assert await mailing.mail(HOOK, "ann@example.org") == ["ann@example.org"]
    assert await mailing.mail(HOOK, "ann@example.org") == []


async def test_who_has_no_permit_of_one_quota_takes_none_of_the_other(two: list[Client]) -> None:
    mailing = Mailing(two, Quotas(Rate(1, HOUR), Rate(2, HOUR)))
    assert await mailing.mail(HOOK, "ann@example.org") == ["ann@example.org"]
    for _ in range(3):
        assert await mailing.mail(HOOK, "ann@example.org") == []
    assert await mailing.mail(HOOK, "ben@example.org") == ["ben@example.org"]


async def test_permits_come_back_evenly_and_a_full_quota_leaves_nothing(two: list[Client]) -> None:
    """By Redis' clock: what it says of the key is moved back instead of waiting."""
    mailing = Mailing(two, Quotas(recipient=Rate(2, HOUR)))
    for _ in range(2):
        assert await mailing.mail(HOOK, "ann@example.org") == ["ann@example.org"]
    assert await mailing.mail(HOOK, "ann@example.org") == []
    client = two[0]
    (key,) = await client.redis.keys(client.key("quota:r-*"))
    assert 0 < await client.redis.pttl(key) <= HOUR
    full = float(await client.redis.hget(key, "full"))
    # Half an hour later there is one permit, and one only.
    await client.redis.hset(key, "full", full - HOUR / 2)
    assert await mailing.mail(HOOK, "ann@example.org") == ["ann@example.org"]
    assert await mailing.mail(HOOK, "ann@example.org") == []


async def test_what_was_over_can_be_sent_after_all(two: list[Client]) -> None:
    client = two[0]
    mailing = Mailing(two, Quotas(recipient=Rate(1, HOUR)))
    await mailing.mail(HOOK, "ann@example.org")
    assert await mailing.mail(HOOK, "ann@example.org") == []
    (ident,) = [one.id async for one in DeadLetters(client).newest()]
    letter = await DeadLetters(client).get(ident)
    assert letter is not None
    assert await DeadLetters(client).body(letter) == b"To: x\r\n\r\nbody"
    assert await DeadLetters(client).retry(letter.id)
    assert [one.recipient for one in (await Deliveries(client).lease(9)).deliveries] == ["ann@example.org"]


async def test_a_flood_is_counted_and_drives_no_other_dead_letter_out(two: list[Client]) -> None:
    client = two[0]
    mailing = Mailing(two, Quotas(bucket=Rate(1, HOUR)))
    many = [f"r{number}@example.org" for number in range(151)]
    assert await mailing.mail(HOOK, *many) == many[:1]
    assert await DeadLetters(client).count() == 100
    assert mailing.told == [(HOOK, 150, 150)]
    assert int((await client.hash("totals"))["over_quota"]) == 150
    await DeadLetters(client).drop([one.id async for one in DeadLetters(client).newest()])
    # The body is that of the one mail which waits, and of nothing else.
    (body,) = await client.redis.keys(client.key("body:*"))
    assert await client.redis.hget(body, "refs") == b"1"
