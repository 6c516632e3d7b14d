"""Relays that refuse connections, fail over, go and come back: what the pool as a whole makes of them."""

import asyncio

import pytest

from kinto_notify.delivery import Deferred, Sent
from kinto_notify.demo.servers import free_port
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import QUICK, envelope, persist
from support.smtp_server import Act, SmtpServer, drop, say


async def test_s18_one_relay_of_two_down_fails_over_and_comes_back() -> None:
    first = SmtpServer()
    first.port = free_port()
    async with SmtpServer() as second:
        pool = Pool(
            parse_relays(f"{first.url},{second.url}"), sessions=2, timeouts=Timeouts(pause_least=0.05, lifetime=0.0)
        )
        outcomes = await asyncio.gather(*(pool.send(envelope()) for _ in range(6)))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        assert (len(second.mails), pool.fault) == (6, None)
        async with first:
            # The first is preferred again once its circuit lets a trial through.
            async def back() -> None:
                while not first.mails:
                    assert isinstance(await pool.send(envelope()), Sent)

            await asyncio.wait_for(back(), 20)
            await pool.close()


@pytest.mark.parametrize("phase", ["connect", "ehlo", "mail", "rcpt", "data"])
async def test_s18_a_relay_that_goes_before_the_message_was_handed_over_is_left_for_the_next(phase: str) -> None:
    """In the same attempt: nothing is deferred, and nothing sent twice."""
    async with SmtpServer() as first, SmtpServer() as second:
        pool = Pool(parse_relays(f"{first.url},{second.url}"), sessions=1, timeouts=Timeouts(pause_least=3600.0))
        first.script[phase] = say("421 4.3.2 going down", close=True)
        for number in range(3):
            assert isinstance(await pool.send(envelope(f"r{number}@example.org")), Sent)
        assert (len(first.mails), len(second.mails), first.reached["body"]) == (0, 3, 0)
        await pool.close()


@pytest.mark.parametrize("act", [drop(accept=True), say("421 4.3.2 going down", close=True, accept=True)])
async def test_s18_what_one_relay_may_have_taken_is_not_handed_to_the_other(act: Act) -> None:
    async with SmtpServer() as first, SmtpServer() as second:
        pool = Pool(parse_relays(f"{first.url},{second.url}"), sessions=1, timeouts=QUICK)
        first.script["dot"] = [act]
        assert isinstance(await pool.send(envelope()), Deferred)
        assert (len(first.mails), len(second.mails), second.connections) == (1, 0, [])
        await pool.close()


async def test_both_relays_down_is_one_fault_that_names_both() -> None:
    ports = (free_port(), free_port())
    pool = Pool(tuple(Relay("127.0.0.1", port, Tls.CLEAR) for port in ports), sessions=2, timeouts=QUICK)
    with pytest.raises(RelayFault) as caught:
        await pool.send(envelope())
    assert all(f"127.0.0.1:{port} at connect" in str(caught.value) for port in ports)
    await pool.close()


async def test_an_outage_ends_and_nothing_is_sent_twice(server: SmtpServer, pool: Pool) -> None:
    assert isinstance(await pool.send(envelope("first@example.org")), Sent)
    await server.stop()
    tasks = [asyncio.create_task(persist(pool, envelope(f"r{n}@example.org"))) for n in range(20)]
    await server.until(lambda: pool.fault is not None)
    await server.start()
    assert all(isinstance(outcome, Sent) for outcome in await asyncio.gather(*tasks))
    assert len({mail.recipient for mail in server.mails}) == len(server.mails) == 21


async def test_s18_a_relay_that_refuses_our_sender_is_left_with_all_its_sessions() -> None:
    async with SmtpServer() as first, SmtpServer() as second:
        pool = Pool(parse_relays(f"{first.url},{second.url}"), sessions=3)
        await asyncio.gather(*(pool.send(envelope()) for _ in range(3)))
        first.reached.clear()
        first.script["mail"] = "550 5.7.1 sender not owned"
        for _ in range(4):
            assert isinstance(await pool.send(envelope()), Sent)
        # Asked over the session it had and over a new one; the idle ones were not tried in turn.
        assert (first.reached["mail"], len(second.mails), pool.fault) == (2, 4, None)
        await first.until(lambda: not first.open)
        await pool.close()


@pytest.mark.parametrize("phase", ["rcpt", "dot"])
async def test_a_message_that_stalls_after_an_outage_keeps_the_others_waiting_for_a_moment(
    server: SmtpServer, phase: str
) -> None:
    """It is the trial, or the one session of a slow start; a stall of its own is no outage."""
    pool = Pool(parse_relays(server.url), sessions=3, timeouts=Timeouts(pause_least=0.05, stall=0.05))
    server.script["connect"] = [say("554 5.3.0 down", close=True)]
    with pytest.raises(RelayFault):
        await pool.send(envelope())
    await pool.ready()
    server.script[phase] = [say("250 at last", gate=(gate := asyncio.Event()))]
    stalled = asyncio.create_task(pool.send(envelope("slow@example.org")))
    await server.saw(phase)
    for number in range(5):
        await pool.ready()
        assert isinstance(await pool.send(envelope(f"r{number}@example.org")), Sent)
    assert (stalled.done(), pool.fault) == (False, None)
    gate.set()
    assert isinstance(await stalled, Sent)
    await pool.close()
