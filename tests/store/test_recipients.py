"""S09: an address that the relay called unknown for two deliveries is suppressed; what lifts it, and when it ends."""

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.delivery import Delivery
from kinto_notify.rate import Rate
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.recipients import Recipient, Recipients
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing, key

ANN = Mailbox("Ann", "ann@example.org")
REPLY = "550 5.1.1 nobody (at RCPT)"


@pytest.fixture
def recipients(client: Client) -> Recipients:
    return Recipients(client)


async def lease(client: Client, group: str, rate: Rate | None = None, to: Mailbox = ANN) -> Delivery:
    """A delivery of a digest of its own."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("a", to=key(group=group)))], [])
    (digest,) = await Digests(client).freeze(1)
    addressed = (Addressed(to.fingerprint, to.address, b"To: ann\r\n"),)
    await Digests(client).fan_out([Step(digest, 0, 1, True, b"\r\nbody", "bounce@example.org", addressed)])
    (leased,) = (await Deliveries(client, rate).lease(1)).deliveries
    return leased


async def end(client: Client, delivery: Delivery, fate: Fate = Fate.UNKNOWN) -> None:
    assert await Deliveries(client).settle([Settlement(delivery.id, delivery.fence, fate, 0, REPLY)]) == 1


async def found(recipients: Recipients) -> list[Recipient]:
    return [one async for one in recipients.newest()]


async def test_the_second_delivery_suppresses(client: Client, recipients: Recipients) -> None:
    await end(client, await lease(client, "one"))
    (once,) = await found(recipients)
    assert (once.address, once.unknown, once.reply, once.suppressed) == ("ann@example.org", 1, REPLY, None)
    second = await lease(client, "two")
    assert second.suppressed is None
    await end(client, second)
    known = await recipients.get(Mailbox("", "ANN@Example.org"))
    assert known is not None
    assert known.unknown == 2
    assert known.suppressed is not None
    assert (await lease(client, "three")).suppressed == REPLY
    assert (await lease(client, "four", to=Mailbox("", "ben@example.org"))).suppressed is None
    # The address is in no key.
    assert not [name for name in await client.redis.keys("*") if b"ann" in name]


async def test_a_suppressed_one_takes_nothing_of_the_rate(client: Client) -> None:
    for group in ("one", "two"):
        await end(client, await lease(client, group))
    await lease(client, "three", Rate(1, 3_600_000))
    assert await client.redis.exists(client.key("permits")) == 0


async def test_one_delivery_that_is_tried_again_by_hand_is_one(client: Client, recipients: Recipients) -> None:
    one = await lease(client, "one")
    await end(client, one)
    assert await DeadLetters(client).retry(one.id)
    (again,) = (await Deliveries(client).lease(1)).deliveries
    await end(client, again)
    (known,) = await found(recipients)
    assert (known.unknown, known.suppressed) == (1, None)


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.DEFERRED, Fate.RETURNED])
async def test_other_ends_count_nothing(client: Client, recipients: Recipients, fate: Fate) -> None:
    await end(client, await lease(client, "one"), fate)
    assert await found(recipients) == []


async def test_a_mail_that_was_taken_resets_the_count(client: Client, recipients: Recipients) -> None:
    await end(client, await lease(client, "one"))
    await end(client, await lease(client, "two"), Fate.SENT)
    assert await found(recipients) == []
    await end(client, await lease(client, "three"))
    assert (await lease(client, "four")).suppressed is None


async def test_resubscribe_forgets_it(client: Client, recipients: Recipients) -> None:
    assert not await recipients.resubscribe(ANN)
    for group in ("one", "two"):
        await end(client, await lease(client, group))
    assert await recipients.resubscribe(Mailbox("", "Ann@example.org"))
    assert await found(recipients) == []
    assert (await lease(client, "three")).suppressed is None
    assert await client.redis.exists(client.key("recipients")) == 0


async def test_it_ends_thirty_days_after_the_last_refusal(client: Client, recipients: Recipients) -> None:
    month = 30 * 86_400_000
    for group in ("one", "two"):
        await end(client, await lease(client, group))
    (name,) = await client.redis.keys(client.key("recipient:*"))
    for one in (name, client.key("recipients")):
        assert month - 60_000 < await client.redis.pttl(one) <= month
    # A month later:
    await client.redis.delete(name)
    await client.redis.zadd(client.key("recipients"), {ANN.fingerprint: await client.time() - month - 1})
    assert await found(recipients) == []
    await end(client, await lease(client, "three", to=Mailbox("", "ben@example.org")))
    assert await client.redis.zcard(client.key("recipients")) == 1
