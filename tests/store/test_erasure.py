"""To forget an address: nothing of Redis names it any more, and the others get what they would have got."""

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.delivery import Delivery
from kinto_notify.errors import TryLater
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.erasure import Erased, Erasure
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing, key

ANN, BEN = Mailbox("Ann", "Ann@example.org"), Mailbox("Bén", "ben@example.org")


async def names(client: Client, word: bytes = b"ann@example.org") -> list[bytes]:
    """The keys in which it stands, in any case."""
    found = []
    for name in await client.redis.keys(client.key("*")):
        kind = await client.redis.type(name)
        if kind == b"hash":
            text = b" ".join([*(await client.redis.hvals(name))])
        elif kind == b"zset":
            text = b" ".join(await client.redis.zrange(name, 0, -1))
        elif kind == b"list":
            text = b" ".join(await client.redis.lrange(name, 0, -1))
        else:
            text = b""
        if word in (name + b" " + text).lower():
            found.append(name)
    return found


async def open_digest(client: Client, group: str, *to: Mailbox) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    one = filing("a", to=key(group=group))
    await stream.file([filed(entry, type(one)(one.key, one.rules, to, one.counts, one.lines))], [])


async def fan_out(client: Client, *to: Mailbox) -> list[Delivery]:
    (digest,) = await Digests(client).freeze(1)
    addressed = tuple(Addressed(one.fingerprint, one.address, b"To: x\r\n") for one in to)
    await Digests(client).fan_out([Step(digest, 0, len(to), True, b"\r\nbody", "bounce@example.org", addressed)])
    return list((await Deliveries(client).lease(len(to))).deliveries)


async def test_an_open_digest_goes_to_the_others_and_one_of_nobody_goes(client: Client) -> None:
    await open_digest(client, "both", ANN, BEN)
    await open_digest(client, "alone", ANN)
    assert len(await names(client)) == 2
    assert await Erasure(client).erase(Mailbox("", "ann@EXAMPLE.org")) == Erased(0, 0, 2)
    assert await names(client) == []
    (left,) = await Digests(client).freeze(9)
    assert left.recipients == (BEN,)
    assert await client.redis.keys(client.key("lines:*")) == []


async def test_what_waits_and_what_is_buried_goes_with_the_body_that_nobody_else_needs(client: Client) -> None:
    await open_digest(client, "one", ANN, BEN)
    for delivery in await fan_out(client, ANN, BEN):
        await Deliveries(client).settle([Settlement(delivery.id, delivery.fence, Fate.DEFERRED, 60_000, "451 later")])
    await open_digest(client, "two", ANN)
    (second,) = await fan_out(client, ANN)
    # It is known as unknown as well.
    await Deliveries(client).settle([Settlement(second.id, second.fence, Fate.UNKNOWN, 0, "550 5.1.1 nobody")])
    assert await names(client)
    assert await Erasure(client).erase(ANN) == Erased(1, 1, 0)
    assert await names(client) == []
    assert await DeadLetters(client).count() == 0
    # The other's mail still waits, with its body; the second digest's body is gone.
    assert await client.redis.zcard(client.key("deliveries")) == 1
    assert len(await client.redis.keys(client.key("body:*"))) == 1
    assert await Erasure(client).erase(BEN) == Erased(1, 0, 0)
    assert await client.redis.keys(client.key("body:*")) == []


async def test_a_mail_in_hand_is_settled_as_if_it_were_not_there(client: Client) -> None:
    await open_digest(client, "one", ANN)
    (held,) = await fan_out(client, ANN)
    assert (await Erasure(client).erase(ANN)).deliveries == 1
    for fate in (Fate.DEFERRED, Fate.REFUSED, Fate.SENT):
        assert await Deliveries(client).settle([Settlement(held.id, held.fence, fate, 0, "x")]) == 0
    assert await names(client) == []


async def test_a_digest_that_becomes_mails_cannot_be_changed_on_the_way(client: Client) -> None:
    await open_digest(client, "one", ANN, BEN)
    (digest,) = await Digests(client).freeze(1)
    with pytest.raises(TryLater, match="becoming mails"):
        await Erasure(client).erase(ANN)
    addressed = tuple(Addressed(one.fingerprint, one.address, b"To: x\r\n") for one in (ANN, BEN))
    await Digests(client).fan_out([Step(digest, 0, 2, True, b"\r\nbody", "bounce@example.org", addressed)])
    assert await Erasure(client).erase(ANN) == Erased(1, 0, 0)


async def test_a_dead_digest_is_named(client: Client) -> None:
    await open_digest(client, "one", ANN, BEN)
    (digest,) = await Digests(client).freeze(1)
    await Digests(client).bury(digest, "broken")
    (letter,) = [one async for one in DeadLetters(client).newest()]
    with pytest.raises(TryLater, match=letter.id):
        await Erasure(client).erase(ANN)
    await DeadLetters(client).drop([letter.id])
    assert await Erasure(client).erase(ANN) == Erased(0, 0, 0)
