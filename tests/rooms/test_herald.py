"""The herald: what it is told of goes to the operator once, and waits while no relay can be used."""

import re
from collections.abc import AsyncIterator

import pytest

from kinto_notify.delivery import Envelope
from kinto_notify.demo.servers import free_port
from kinto_notify.errors import RelayFault
from kinto_notify.herald import Herald
from kinto_notify.hook_book import MAX_SLOW
from kinto_notify.intake import Intake
from kinto_notify.settings import Settings, load_settings
from kinto_notify.smtp.pool import Pool
from kinto_notify.store.alone import Alone
from kinto_notify.store.circuits import Circuits
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.events import change, event, fields
from support.mail_linter import lint, parse
from support.subscribed import catalogue_of

HOOK = "/buckets/blog/collections/articles#0"


def settings(**more: str) -> Settings:
    given = {"SENDER": "kinto@example.org", "NAME": "one", "OPERATOR": "Ops <ops@example.org>"} | more
    given.setdefault("SMTP_URL", f"smtp+insecure://127.0.0.1:{free_port()}")
    return load_settings({f"KINTO_NOTIFY_{name}": text for name, text in given.items() if text})


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """One whose relay is not there."""
    made = Pool(settings().smtp_relays, sessions=1)
    yield made
    await made.close()


async def mails(client: Client) -> list[bytes]:
    """The deliveries that wait, as messages."""
    leased = (await Deliveries(client).lease(10)).deliveries
    bodies = await Deliveries(client).bodies([(one.body, False) for one in leased])
    return [one.headers + bodies[one.body, False] for one in leased]


async def test_a_hook_that_was_switched_off_is_told_once(client: Client, pool: Pool) -> None:
    herald = Herald(client, pool, Telemetry(), settings())
    await herald.work()
    assert await mails(client) == []
    herald.switched_off(HOOK)
    herald.switched_off(HOOK)
    await herald.work()
    (mail,) = await mails(client)
    assert lint(mail) == []
    assert str(parse(mail)["Subject"]).endswith(" 1 hook switched off")
    assert HOOK.encode() in re.sub(rb"=\r\n", b"", mail)
    await herald.work()
    # Even where the last one was more than an hour ago.
    await client.redis.hset(client.key("notice"), "last", 1)
    await herald.work()
    assert await mails(client) == []


async def test_what_another_daemon_told_at_the_same_time_waits_an_hour(client: Client, pool: Pool) -> None:
    one, two = (Herald(client, pool, Telemetry(), settings(NAME=name)) for name in ("one", "two"))
    one.switched_off(HOOK)
    two.switched_off(HOOK)
    await one.work()
    await two.work()
    assert len(await mails(client)) == 1
    await client.redis.hincrby(client.key("notice"), "last", -3_600_000)
    await two.work()
    assert len(await mails(client)) == 1


async def test_nothing_is_made_while_no_relay_can_be_used(client: Client, pool: Pool) -> None:
    """It would wait with all the others, and say what is no longer true when it leaves."""
    telemetry = Telemetry()
    herald = Herald(client, pool, telemetry, settings())
    with pytest.raises(RelayFault):
        await pool.send(Envelope("a@example.org", "b@example.org", b"x"))
    herald.switched_off(HOOK)
    await herald.work()
    assert await mails(client) == []
    (outage,) = (await Circuits(client).all(await client.time())).values()
    assert (outage.daemon, outage.closed) == ("one", None)
    assert telemetry.registry.get_sample_value("kinto_notify_circuits_open") == 1


async def test_without_an_operator_only_the_circuits_are_told(client: Client, pool: Pool) -> None:
    herald = Herald(client, pool, Telemetry(), settings(OPERATOR=""))
    with pytest.raises(RelayFault):
        await pool.send(Envelope("a@example.org", "b@example.org", b"x"))
    herald.switched_off(HOOK)
    await herald.work()
    assert len(await Circuits(client).all(await client.time())) == 1
    assert not await client.redis.exists(client.key("notice"))


async def test_intake_tells_the_herald_of_a_hook_that_it_does_not_ask_any_more(client: Client) -> None:
    """X04: told when it happens, and once."""
    told: list[str] = []
    stream = Stream(client, "one")
    await stream.ensure_group()
    catalogue = catalogue_of()
    intake = Intake(
        stream,
        Alone(client),
        lambda: catalogue,
        Telemetry(),
        keep_ms=60_000,
        due=lambda delay: None,
        switched_off=told.append,
    )
    evil = {"template": "x", "recipients": ["ann@example.org"], "id": "^(a|aa)+$"}
    carried = [{"home": "/buckets/b/collections/c", "key": "kinto-emailer", "index": 0, "hook": evil}]
    for number in range(MAX_SLOW + 1):
        assert told == (["/buckets/b/collections/c#emailer-0"] if number == MAX_SLOW else [])
        one = event(change("a" * 40 + "!"), hooks=carried)
        await client.redis.xadd(client.stream, fields(one))  # type: ignore[arg-type]
        await intake.work(wait=False)
    assert told == ["/buckets/b/collections/c#emailer-0"]
