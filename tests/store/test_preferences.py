"""Recipients rule their own inbox: what they want holds in the same Redis that makes and leases their mails."""

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.delivery import Delivery
from kinto_notify.rate import Rate
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.erasure import Erasure
from kinto_notify.store.preferences import Act, Preferences, key_of
from kinto_notify.store.stream import Stream
from kinto_notify.store.trail import Trail
from kinto_notify.wish import DAY_MS, EVERY, Preference, Wish, subscription_key
from support.filings import entries, filed, filing, key

ANN, BEN = Mailbox("Ann", "anouk@example.org"), Mailbox("", "ben@example.org")
S, OTHER = "file#s", "/buckets/b\u00fc/collections/c#\U0001f600 name"


@pytest.fixture
def preferences(client: Client) -> Preferences:
    return Preferences(client)


async def fan_out(client: Client, *to: Mailbox, name: str = "s", group: str = "c", step: int = 9) -> int:
    """One digest for these, in steps; how many deliveries it became."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("a", to=key(name, group), recipients=to))], [])
    (digest,) = await Digests(client).freeze(1)
    made = 0
    for at in range(0, len(to), step):
        some = tuple(Addressed(one.fingerprint, one.address, b"To: x\r\n") for one in to[at : at + step])
        end = at + len(some)
        made += await Digests(client).fan_out(
            [Step(digest, at, end, end == len(to), b"\r\nbody", "bounce@example.org", some)]
        )
    return made


async def leased(client: Client, rate: Rate | None = None) -> list[Delivery]:
    return list((await Deliveries(client, rate).lease(9)).deliveries)


@pytest.mark.parametrize("identity", [S, OTHER, "", "x" * 500])
async def test_both_sides_name_a_subscription_alike(client: Client, identity: str) -> None:
    told = await client.redis.eval("return string.sub(redis.sha1hex(ARGV[1]), 1, 24)", 0, identity)
    assert told == subscription_key(identity).encode()


async def test_exactly_that_person_and_that_subscription(client: Client, preferences: Preferences) -> None:
    await preferences.act(ANN.fingerprint, key_of(S), "off", identity=S)
    assert await fan_out(client, ANN, BEN) == 1
    (only,) = await leased(client)
    assert (only.recipient, only.unwanted) == (BEN.address, None)
    assert await fan_out(client, ANN, BEN, name="other") == 2
    assert [one.unwanted for one in await leased(client)] == [None, None]


async def test_what_waits_already_is_not_sent_either(client: Client, preferences: Preferences) -> None:
    assert await fan_out(client, ANN, BEN) == 2
    await preferences.act(ANN.fingerprint, key_of(S), "off")
    found = {one.recipient: one.unwanted for one in await leased(client, Rate(100, 1000))}
    assert found == {ANN.address: "unsubscribed", BEN.address: None}
    # It takes nothing of the rate.
    assert await client.redis.zcard(client.key("permits")) == 1


async def test_an_unwanted_delivery_leaves_nothing_but_its_trail(client: Client, preferences: Preferences) -> None:
    await fan_out(client, ANN)
    await preferences.act(ANN.fingerprint, key_of(S), "off")
    (one,) = await leased(client)
    end = Settlement(one.id, one.fence, Fate.UNWANTED, 0, "unsubscribed")
    assert await Deliveries(client).settle([end]) == 1
    assert await Deliveries(client).settle([end]) == 0
    names = {name.decode().partition(":")[2].partition(":")[0] for name in await client.redis.keys(client.key("*"))}
    assert names.isdisjoint({"delivery", "deliveries", "body", "dead"})
    (mail,) = await Trail(client)._mails(one.id.partition(":")[0], 0)
    assert (mail.state, mail.reply) == ("unwanted", "unsubscribed")


async def test_an_old_fence_throws_nothing_away(client: Client, preferences: Preferences) -> None:
    await fan_out(client, ANN)
    (one,) = await leased(client)
    assert await Deliveries(client).settle([Settlement(one.id, one.fence - 1, Fate.UNWANTED, 0, "muted")]) == 0
    assert await client.redis.exists(client.key(f"delivery:{one.id}")) == 1


@pytest.mark.parametrize("step", [1, 2, 9])
async def test_a_digest_that_nobody_wants_leaves_no_body(client: Client, preferences: Preferences, step: int) -> None:
    for one in (ANN, BEN):
        await preferences.act(one.fingerprint, key_of(S), "off")
    assert await fan_out(client, ANN, BEN, step=step) == 0
    for left in ("body:*", "frozen*", "deliver*"):
        assert await client.redis.keys(client.key(left)) == []


@pytest.mark.parametrize("step", [1, 2])
async def test_the_body_stays_for_those_who_want_it(client: Client, preferences: Preferences, step: int) -> None:
    await preferences.act(ANN.fingerprint, key_of(S), "off")
    assert await fan_out(client, ANN, BEN, step=step) == 1
    (one,) = await leased(client)
    assert await Deliveries(client).bodies([(one.body, False)]) == {(one.body, False): b"\r\nbody"}
    await Deliveries(client).settle([Settlement(one.id, one.fence, Fate.SENT)])
    assert await client.redis.keys(client.key("body:*")) == []


async def test_a_mute_ends_by_itself(client: Client, preferences: Preferences) -> None:
    kept = await preferences.act(ANN.fingerprint, key_of(S), "mute", span_ms=DAY_MS)
    assert kept.preference.muted_until == kept.now + DAY_MS
    assert await fan_out(client, ANN) == 0
    assert DAY_MS - 60_000 < await client.redis.pttl(client.key(f"inbox:{ANN.fingerprint}")) <= DAY_MS
    # A day later.
    await client.redis.hset(client.key(f"inbox:{ANN.fingerprint}"), key_of(S), f"on {kept.now - 1} {S}")
    assert await fan_out(client, ANN, group="later") == 1
    # What is over is swept by the next act.
    await preferences.act(ANN.fingerprint, key_of("file#x"), "on")
    assert await client.redis.keys(client.key("inbox*")) == []


ACTS: list[tuple[tuple[Act, ...], Wish, bool]] = [
    (("off",), Wish.OFF, False),
    (("off", "off"), Wish.OFF, False),
    (("off", "on"), Wish.ON, False),
    (("off", "mute"), Wish.OFF, True),
    (("mute",), Wish.ON, True),
    (("mute", "on"), Wish.ON, False),
    (("daily",), Wish.DAILY, False),
    (("daily", "mute"), Wish.DAILY, True),
    (("daily", "mute", "off"), Wish.OFF, False),
    (("off", "daily"), Wish.DAILY, False),
]


@pytest.mark.parametrize(("acts", "wish", "muted"), ACTS)
async def test_what_acts_come_to(preferences: Preferences, acts: tuple[Act, ...], wish: Wish, muted: bool) -> None:
    for act in acts:
        last = await preferences.act(ANN.fingerprint, key_of(S), act, span_ms=DAY_MS, identity=S)
    assert (last.preference.wish, last.preference.muted_until > last.now) == (wish, muted)
    assert (await preferences.show(ANN.fingerprint, key_of(S))).preference == last.preference
    kept = await preferences.of(ANN.fingerprint)
    assert kept == ({} if acts[-1] == "on" else {key_of(S): last.preference})


async def test_all_subscriptions_at_once(client: Client, preferences: Preferences) -> None:
    await preferences.act(ANN.fingerprint, EVERY, "off")
    assert await fan_out(client, ANN, BEN) == 1
    shown = await preferences.show(ANN.fingerprint, key_of(S))
    assert (shown.preference, shown.every.wish) == (Preference(), Wish.OFF)
    await preferences.forget(ANN.fingerprint)
    assert await fan_out(client, ANN, group="d") == 1


async def test_the_name_is_known_once_a_mail_was_made(client: Client, preferences: Preferences) -> None:
    assert (await preferences.show(ANN.fingerprint, key_of(S))).identity == ""
    await fan_out(client, ANN)
    assert (await preferences.show(ANN.fingerprint, key_of(S))).identity == S
    await preferences.act(ANN.fingerprint, key_of(S), "off")
    # And after the name is forgotten.
    await client.redis.delete(client.key(f"subscription:{key_of(S)}"))
    assert (await preferences.show(ANN.fingerprint, key_of(S))).identity == S
    (listed,) = [one async for one in preferences.newest()]
    assert listed == (ANN.fingerprint, {key_of(S): Preference(Wish.OFF, 0, S)})


async def test_no_address_is_kept_and_erasing_leaves_nothing(client: Client, preferences: Preferences) -> None:
    await preferences.act(ANN.fingerprint, key_of(S), "off", identity=S)
    assert await client.redis.keys(client.key("*anouk@*")) == []
    await Erasure(client).erase(ANN)
    assert await client.redis.keys(client.key("inbox*")) == []


async def test_everything_has_an_end(client: Client, preferences: Preferences) -> None:
    await preferences.act(ANN.fingerprint, key_of(S), "off")
    await fan_out(client, BEN)
    for name in (f"inbox:{ANN.fingerprint}", f"subscription:{key_of(S)}"):
        assert await client.redis.pttl(client.key(name)) > 365 * DAY_MS
    # One whose key is gone is taken out of the list by the next act of anybody.
    await client.redis.delete(client.key(f"inbox:{ANN.fingerprint}"))
    await preferences.act(BEN.fingerprint, key_of(S), "off")
    assert await client.redis.zrange(client.key("inboxes"), 0, -1) == [BEN.fingerprint.encode()]
