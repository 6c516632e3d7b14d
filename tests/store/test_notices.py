"""Notices in Redis: what is new, told once over all daemons, and never of themselves."""

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.notice import GATHER_MS, NOTICE_IDENTITY, Found, Notice, Outage, decide
from kinto_notify.store.circuits import Circuits
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries, Fate, Settlement
from kinto_notify.store.notices import NoticeMail, Notices
from kinto_notify.store.overview import overview

OPS = Mailbox("", "ops@example.org")
MAIL = NoticeMail("notice-1", "bounce@example.org", OPS, b"To: ops\r\n", b"\r\nbody")
RELAY = "smtp://relay.example.org:25"


@pytest.fixture
def notices(client: Client) -> Notices:
    return Notices(client)


async def bury(client: Client, ident: str, when: int, identity: str = "file#s") -> None:
    key = client.key(f"dead:{ident}")
    told = {"kind": "delivery", "reason": "550 5.1.1 no (at RCPT)", "when": when, "identity": identity}
    await client.redis.hset(key, mapping=told)
    await client.redis.zadd(client.key("dead"), {ident: when})


def notice_of(found: Found, now: int) -> Notice:
    made = decide(found, (), now)
    assert made is not None
    return made


async def test_only_what_died_since_the_last_notice_is_told(client: Client, notices: Notices) -> None:
    now = await client.time()
    await bury(client, "old", now - 9)
    assert (await notices.look(now)).dead == {}, "the first look begins"
    later = now + GATHER_MS
    for number in range(3):
        await bury(client, f"new{number}", now + number)
    found = await notices.look(later)
    assert (found.dead, found.oldest, found.last) == ({"550 5.1.1 at RCPT": 3}, now, 0)
    assert await notices.make(notice_of(found, later), found, MAIL)
    assert (await notices.look(later + 1)).dead == {}
    # In the very millisecond of the notice one more may have died after the look.
    await bury(client, "same", later)
    assert (await notices.look(later + 1)).dead == {"550 5.1.1 at RCPT": 1}


async def test_two_daemons_that_decide_at_once_send_one(client: Client, notices: Notices) -> None:
    now = await client.time()
    await notices.look(now - GATHER_MS)
    await bury(client, "a", now - GATHER_MS)
    one, other = await notices.look(now), await notices.look(now)
    assert await notices.make(notice_of(one, now), one, MAIL)
    assert not await notices.make(notice_of(other, now + 1), other, MAIL)
    (delivery,) = (await Deliveries(client).lease(10)).deliveries
    assert (delivery.recipient, delivery.identity) == ("ops@example.org", NOTICE_IDENTITY)
    assert await Deliveries(client).bodies([("notice-1", False)]) == {("notice-1", False): b"\r\nbody"}
    assert decide(await notices.look(now + 2), (), now + 2) is None


async def test_its_own_failure_is_no_news(client: Client, notices: Notices) -> None:
    """A notice that the relay refuses is a dead letter; of it no notice is made, for ever."""
    now = await client.time()
    await notices.look(now - GATHER_MS)
    await bury(client, "a", now - GATHER_MS)
    found = await notices.look(now)
    await notices.make(notice_of(found, now), found, MAIL)
    (delivery,) = (await Deliveries(client).lease(10)).deliveries
    refusal = Settlement(delivery.id, delivery.fence, Fate.REFUSED, 0, "550 5.1.1 no such operator (at RCPT)")
    await Deliveries(client).settle([refusal])
    assert await DeadLetters(client).count() == 2
    long_after = now + 30 * 86_400_000
    assert (await notices.look(long_after)).dead == {}
    assert decide(await notices.look(long_after), (), long_after) is None


async def test_nothing_of_it_stays(client: Client, notices: Notices) -> None:
    now = await client.time()
    found = await notices.look(now)
    await notices.make(Notice(now, now, (), 0, (), ("h",)), found, MAIL)
    (delivery,) = (await Deliveries(client).lease(10)).deliveries
    await Deliveries(client).settle([Settlement(delivery.id, delivery.fence, Fate.SENT)])
    left = {key.removeprefix(client.prefix.encode() + b":") for key in await client.redis.keys(client.key("*"))}
    assert left <= {b"notice", b"totals", b"sending", b"outcomes"}


async def test_an_outage_from_its_beginning_to_the_notice_of_its_end(client: Client, notices: Notices) -> None:
    now, circuits = await client.time(), Circuits(client)
    await notices.look(now)
    beginning = Outage("one", RELAY, now, "refused")
    await circuits.report("one", [beginning], now)
    # A minute later, since Redis was away; and the daemon was restarted meanwhile: it knows of its own part only.
    await circuits.report("one", [Outage("one", RELAY, now + 59_000, "535 no")], now + 61_000)
    (still,) = (await circuits.all(now + 61_000)).values()
    assert (still.opened, still.fault, still.closed) == (now, "535 no", None)
    await circuits.report("two", [], now + 62_000)
    await circuits.report("one", [], now + 70_000)
    (over,) = (await circuits.all(now + 99_000)).values()
    assert over.closed == now + 70_000
    found = await notices.look(now + 99_000)
    assert await notices.make(notice_of(found, now + 99_000), found, MAIL)
    assert await circuits.all(now + 99_000) == {}, "told, and forgotten"


async def test_a_short_outage_is_forgotten(client: Client) -> None:
    now, circuits = await client.time(), Circuits(client)
    await circuits.report("one", [Outage("one", RELAY, now, "refused")], now + 5_000)
    await circuits.report("one", [], now + 59_000)
    assert await circuits.all(now + 59_000) == {}


async def test_what_a_dead_daemon_said_is_over_when_it_was_last_heard(client: Client) -> None:
    now, circuits = await client.time(), Circuits(client)
    await circuits.report("one", [Outage("one", RELAY, now - 99_000, "refused")], now)
    assert 0 < await client.redis.pttl(client.key("circuits")) <= 2 * 86_400_000, "if no daemon comes back"
    (open_still,) = (await overview(client)).outages
    assert open_still.daemon == "one"
    (ended,) = (await circuits.all(now + 60_001)).values()
    assert ended.closed == now
    await circuits.report("two", [], now + 86_400_001)
    assert await circuits.all(now) == {}, "a day later it is gone"
