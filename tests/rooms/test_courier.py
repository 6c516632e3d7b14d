"""What an outcome means for a delivery: a pure decision, for any age; and what a bug in an attempt means."""

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinto_notify import courier as courier_module
from kinto_notify import ledger as ledger_module
from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.courier import RETURN_DELAY_MS, THROTTLED_LEAST_MS, Courier, returned, settle, unforeseen
from kinto_notify.delivery import AMBIGUOUS_DELAY_MS, Deferred, Delivery, Refused, Reply, RetryPolicy, Sent, retry_delay
from kinto_notify.digester import Digester
from kinto_notify.errors import RelayFault
from kinto_notify.last_look import last_look
from kinto_notify.ledger import Ledger
from kinto_notify.rate import Rate
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.store import deliveries as deliveries_module
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries, Fate
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.digests import SENDER
from support.filings import entries, filed, filing
from support.smtp_server import SmtpServer, say

DELIVERY = Delivery("d1", 7, 3, "kinto@example.org", "ann@example.org", b"", "b", 0, "file#a")
TOO_BIG = Reply(552, "5.3.4 too big", "MAIL")
POLICY = RetryPolicy(60_000, 3_600_000, 86_400_000)
ages = st.integers(0, 10 * POLICY.give_up_after)
jitters = st.floats(0, 1, exclude_max=True)


@settings(deadline=None)
@given(ages, jitters)
def test_sent_is_sent_however_old(age: int, jitter: float) -> None:
    made = settle(DELIVERY, Sent(Reply(250, "queued", "dot")), age, POLICY, jitter)
    assert (made.id, made.fence, made.fate, made.delay) == ("d1", 7, Fate.SENT, 0)
    assert made.reply == "250 queued (at dot)"


@settings(deadline=None)
@given(ages, jitters)
def test_refused_is_buried_with_what_was_said(age: int, jitter: float) -> None:
    made = settle(DELIVERY, Refused(Reply(550, "5.1.1 nobody", "RCPT")), age, POLICY, jitter)
    assert (made.fate, made.reply) == (Fate.REFUSED, "550 5.1.1 nobody (at RCPT)")


@settings(deadline=None)
@given(st.integers(0, POLICY.give_up_after - 1), jitters)
def test_deferred_waits_as_its_age_says(age: int, jitter: float) -> None:
    made = settle(DELIVERY, Deferred(Reply(450, "later", "RCPT")), age, POLICY, jitter)
    assert (made.fate, made.fence) == (Fate.DEFERRED, 7)
    assert made.delay == retry_delay(POLICY, age, jitter)


@settings(deadline=None)
@given(st.integers(0, POLICY.give_up_after - 1), jitters, st.integers(0, 10_000_000))
def test_deferred_never_comes_before_the_outcome_allows(age: int, jitter: float, not_before: int) -> None:
    outcome = Deferred(Reply(0, "", "dot"), not_before, ambiguous=True)
    assert settle(DELIVERY, outcome, age, POLICY, jitter).delay >= not_before


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_d2_a_lost_reply_to_the_dot_rests_ten_minutes(jitter: float) -> None:
    """RFC 1047: it may have been taken; RFC 5321 4.5.3.2.6 allows the answer ten minutes."""
    outcome = Deferred(Reply(0, "no answer in time", "dot"), AMBIGUOUS_DELAY_MS, ambiguous=True)
    assert settle(DELIVERY, outcome, 0, POLICY, jitter).delay == 600_000


@settings(deadline=None)
@given(st.integers(POLICY.give_up_after, 10 * POLICY.give_up_after), jitters)
def test_a_deferred_one_that_is_too_old_is_buried_and_says_why(age: int, jitter: float) -> None:
    made = settle(DELIVERY, Deferred(Reply(450, "later", "RCPT")), age, POLICY, jitter)
    assert made.fate is Fate.REFUSED
    assert made.reply == f"given up after {age // 1000} s; last reply: 450 later (at RCPT)"


@settings(deadline=None)
@given(ages)
def test_s03_the_relays_own_fault_costs_no_attempt(age: int) -> None:
    made = returned(DELIVERY, RelayFault("relay:25 at login: 535 no"), age, POLICY)
    assert (made.id, made.fence) == ("d1", 7)
    if age < POLICY.give_up_after:
        assert (made.fate, made.delay) == (Fate.RETURNED, RETURN_DELAY_MS)
    else:
        assert made.fate is Fate.REFUSED
        assert made.reply == f"given up after {age // 1000} s; the relay: relay:25 at login: 535 no"


@settings(deadline=None)
@given(ages, jitters)
def test_s15_one_that_came_too_fast_is_tried_again_soon_and_buried_only_when_too_old(age: int, jitter: float) -> None:
    made = settle(DELIVERY, Deferred(Reply(454, "4.7.0 slow down", "dot"), throttled=True), age, POLICY, jitter)
    at_mail = returned(DELIVERY, RelayFault("relay:25 at MAIL: 421 4.7.0 rate", throttled=True), age, POLICY)
    if age < POLICY.give_up_after:
        assert made.fate is at_mail.fate is Fate.THROTTLED
        assert THROTTLED_LEAST_MS <= made.delay <= retry_delay(POLICY, age, jitter)
    else:
        assert made.fate is at_mail.fate is Fate.REFUSED


async def test_a_bug_in_an_attempt_is_settled_and_told(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """A delivery that nobody settles would be renewed for ever, and never sent. No address has a lone surrogate."""
    telemetry = Telemetry()
    ledger = Ledger(Deliveries(client), telemetry)
    odd = replace(DELIVERY, recipient="a\udc80@example.org", smtputf8=True)
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        courier = Courier(Deliveries(client), pool, ledger, telemetry, policy=POLICY)
        ledger.hold([odd], time.monotonic())
        await courier._attempt(odd, b"\r\nbody", 0, time.monotonic())
        await pool.close()
    assert not ledger.ours(odd)
    assert ledger.untold == 1
    told = capsys.readouterr().out
    assert "attempt failed" in told
    assert "UnicodeEncodeError" in told


def test_d2_a_bug_after_the_body_went_out_is_ambiguous() -> None:
    before, after = (unforeseen(ValueError("secret"), handed_over) for handed_over in (False, True))
    assert (before.not_before, before.ambiguous) == (0, False)
    assert (after.not_before, after.ambiguous) == (AMBIGUOUS_DELAY_MS, True)
    assert "secret" not in str(before.reply)


async def test_d11_a_lease_that_is_over_stops_before_the_body(client: Client) -> None:
    """And nothing is settled: it is due again, perhaps elsewhere."""
    telemetry = Telemetry()
    ledger = Ledger(Deliveries(client), telemetry)
    opened = asyncio.Event()
    async with SmtpServer() as server:
        server.script["data"] = say("354 go ahead", gate=opened)
        pool = Pool(parse_relays(server.url), sessions=1)
        courier = Courier(Deliveries(client), pool, ledger, telemetry, policy=POLICY)
        ledger.hold([DELIVERY], time.monotonic())
        attempt = asyncio.create_task(courier._attempt(DELIVERY, b"\r\nbody", 0, time.monotonic()))
        await server.saw("data")
        ledger.hold([DELIVERY], time.monotonic() - 3600)
        opened.set()
        await attempt
        await pool.close()
        assert (server.reached["data"], server.reached["body"], server.mails) == (1, 0, [])
    assert ledger.untold == 0


async def test_no_session_waits_while_there_is_something_to_send(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session is free a moment before its last attempt has ended: that is no reason to wait a second."""
    monkeypatch.setattr(courier_module, "IDLE_S", 3600.0)
    many = tuple(Mailbox("", f"r{number}@example.org") for number in range(300))
    stream, telemetry = Stream(client, "one"), Telemetry()
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing(recipients=many))], [])
    composer = Composer(sender=SENDER)
    await Digester(
        Digests(client), Alone(client), lambda: composer, telemetry, bounce_address=SENDER.address, ready=lambda: None
    ).work()
    async with SmtpServer() as server, asyncio.timeout(60):
        pool = Pool(parse_relays(server.url), sessions=3)
        made = Courier(Deliveries(client), pool, Ledger(Deliveries(client), telemetry), telemetry, policy=POLICY)
        stepping = asyncio.create_task(keep_stepping(made))
        await server.wait_for(len(many), 50)
        stepping.cancel()
        await asyncio.gather(stepping, return_exceptions=True)
        assert await made.drain(30)
        await pool.close()


async def keep_stepping(courier: Courier) -> None:
    while True:
        await courier.step(asyncio.Event())


@pytest.mark.parametrize(("held", "suppressed"), [(False, None), (False, "550 5.1.1 nobody"), (True, "550 5.1.1 no")])
async def test_what_may_not_go_out_takes_no_session(client: Client, held: bool, suppressed: str | None) -> None:
    """D11, S09: a lease that is over is another's decision; a suppressed recipient is buried with the reason."""
    telemetry = Telemetry()
    ledger = Ledger(Deliveries(client), telemetry)
    delivery = replace(DELIVERY, suppressed=suppressed)
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        courier = Courier(Deliveries(client), pool, ledger, telemetry, policy=POLICY)
        if held:
            ledger.hold([delivery], time.monotonic())
        await courier._attempt(delivery, b"\r\nbody", 0, time.monotonic())
        await pool.close()
        assert server.connections == []
    assert ledger.untold == int(held)


def test_s09_the_last_look_says_why_and_how_to_lift_it() -> None:
    assert last_look(DELIVERY, ours=True, body=True) is None
    withheld = last_look(replace(DELIVERY, suppressed="550 5.1.1 nobody (at RCPT)"), ours=True, body=True)
    assert withheld is not None
    assert withheld.for_good
    assert "550 5.1.1 nobody (at RCPT)" in withheld.reason
    assert "kinto-notify recipients resubscribe ADDRESS" in withheld.reason


@pytest.mark.parametrize(("unknown", "fate"), [(True, Fate.UNKNOWN), (False, Fate.REFUSED)])
def test_s09_only_an_unknown_mailbox_is_held_against_an_address(unknown: bool, fate: Fate) -> None:
    outcome = Refused(Reply(550, "5.1.1 nobody", "RCPT"), unknown_mailbox=unknown)
    assert settle(DELIVERY, outcome, 0, POLICY, 0).fate is fate


async def test_a_delivery_whose_body_is_gone_is_buried(client: Client) -> None:
    """Somebody removed keys by hand; nothing that could be sent is left of it."""
    telemetry = Telemetry()
    ledger = Ledger(Deliveries(client), telemetry)
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        courier = Courier(Deliveries(client), pool, ledger, telemetry, policy=POLICY)
        ledger.hold([DELIVERY], time.monotonic())
        await courier._attempt(DELIVERY, None, 0, time.monotonic())
        await pool.close()
        assert server.connections == []
    assert ledger.untold == 1
    withheld = last_look(DELIVERY, ours=True, body=False)
    assert withheld is not None
    assert withheld.for_good


@pytest.mark.parametrize(
    ("outcome", "delivery", "fate"),
    [
        (Refused(TOO_BIG, too_big=True), replace(DELIVERY, shorter=True), Fate.SUMMARISED),
        (Refused(TOO_BIG, too_big=True), replace(DELIVERY, summary=True), Fate.REFUSED),
        (Refused(TOO_BIG, too_big=True), DELIVERY, Fate.REFUSED),
        (Refused(TOO_BIG), replace(DELIVERY, shorter=True), Fate.REFUSED),
    ],
)
def test_s10_what_is_too_big_is_summarised_once(outcome: Refused, delivery: Delivery, fate: Fate) -> None:
    made = settle(delivery, outcome, 0, POLICY, 0)
    assert (made.fate, made.delay) == (fate, 0)


async def test_s13_a_send_that_outlasts_its_lease_is_renewed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else gets it while the relay thinks about its dot, and a rate counts it. Leases are short here."""
    monkeypatch.setattr(deliveries_module, "LEASE_MS", 2_000)
    monkeypatch.setattr(deliveries_module, "PERMIT_MS", 2_000)
    monkeypatch.setattr(ledger_module, "_RENEW_EVERY_S", 0.1)
    stream, telemetry = Stream(client, "one"), Telemetry()
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing())], [])
    (digest,) = await Digests(client).freeze(1)
    addressed = (Addressed("0", "ann@example.org", b"Message-ID: <1@example.org>\r\n"),)
    await Digests(client).fan_out([Step(digest, 0, 1, True, b"\r\nbody\r\n", SENDER.address, addressed)])
    limited = Deliveries(client, Rate(1, 1_000))
    ledger, answered = Ledger(limited, telemetry), asyncio.Event()
    async with SmtpServer() as server:
        server.script["dot"] = say("250 2.0.0 queued", gate=answered)
        pool = Pool(parse_relays(server.url), sessions=1)
        courier = Courier(limited, pool, ledger, telemetry, policy=POLICY)
        since = await client.time()
        assert await courier.start() == 1
        renewing = asyncio.create_task(keep_working(ledger))
        await server.saw("dot")
        while await client.time() < since + 5_000:
            assert (await Deliveries(client).lease(1)).deliveries == ()
            assert await client.redis.zcount(client.key("permits"), await client.time(), "+inf") == 1
            await asyncio.sleep(0.05)
        answered.set()
        assert await courier.drain(30)
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await ledger.tell()
        await pool.close()
        assert len(server.mails) == 1
    assert await client.redis.keys(client.key("deliver*")) == []


async def keep_working(ledger: Ledger) -> None:
    while True:
        ledger.wake()
        await ledger.work()
        await asyncio.sleep(0.05)
