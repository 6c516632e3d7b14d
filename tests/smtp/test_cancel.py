"""S21: an attempt that is broken off, at whatever step, leaves nothing behind that meets the next message."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kinto_notify.delivery import Envelope, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.smtp_server import SmtpServer, hang, say, tls_contexts


def envelope(name: str) -> Envelope:
    return Envelope("bounces@example.org", f"{name}@example.org", f"Subject: {name}\r\n\r\n{name}\r\n".encode())


@pytest.fixture
async def pool(server: SmtpServer) -> AsyncIterator[Pool]:
    made = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(pause_least=0.05))
    yield made
    await made.close()


STEPS = [(phase, False) for phase in ("connect", "ehlo", "mail", "rcpt", "data", "dot")]
STEPS += [(phase, True) for phase in ("mail", "rcpt", "data", "dot")]


@pytest.mark.parametrize(("phase", "used"), STEPS)
async def test_s21_the_next_message_never_lands_in_a_broken_transaction(
    server: SmtpServer, pool: Pool, phase: str, used: bool
) -> None:
    if used:
        assert isinstance(await pool.send(envelope("before")), Sent)
    server.script[phase] = [hang()]
    seen = server.reached[phase]
    called: list[None] = []
    task = asyncio.create_task(pool.send(envelope("broken"), before_body=lambda: called.append(None)))
    await server.saw(phase, seen + 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # A caller knows from `before_body` whether the relay may have the message.
    assert len(called) == (phase == "dot")
    assert pool.free == 1
    assert pool.fault is None
    assert isinstance(await pool.send(envelope("next")), Sent)
    expected = ["before@example.org", "next@example.org"] if used else ["next@example.org"]
    assert [mail.recipients[0] for mail in server.mails] == expected
    assert [mail.data.split()[-1].decode() + "@example.org" for mail in server.mails] == expected
    assert server.mails[-1].connection == len(server.connections) - 1 == 1
    await server.until(lambda: len(server.open) == 1)


async def cancelled_at_every_turn(server: SmtpServer, pool: Pool, rounds: int, turns: int) -> None:
    """Not at chosen steps but after 0, 1, 2, … turns of the loop, until an attempt runs to its end unharmed."""
    for number in range(rounds):
        task = asyncio.create_task(pool.send(envelope(f"broken{number}")))
        for _ in range(number % turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert isinstance(await pool.send(envelope(f"whole{number}")), Sent)
    assert pool.free == 2
    assert pool.fault is None
    for mail in server.mails:
        assert len(mail.recipients) == 1
        assert mail.data.split()[-1].decode() + "@example.org" == mail.recipients[0]
    whole = [mail.recipients[0] for mail in server.mails if mail.recipients[0].startswith("whole")]
    assert whole == [f"whole{number}@example.org" for number in range(rounds)]
    assert server.most <= 2


async def test_s21_cancelled_at_every_turn_of_the_loop_a_thousand_times(server: SmtpServer) -> None:
    pool = Pool(parse_relays(server.url), sessions=2)
    await cancelled_at_every_turn(server, pool, rounds=1000, turns=100)
    await pool.close()


async def test_s21_cancelled_at_every_turn_of_a_handshake_and_a_login(tmp_path: Path) -> None:
    """A session lives for one message here, so that each attempt connects, goes into TLS and logs in."""
    context, ca = tls_contexts("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with SmtpServer(tls=context, users={"me": "pw"}) as server:
        relay = Relay("127.0.0.1", server.port, Tls.STARTTLS, "me", "pw")
        pool = Pool((relay,), sessions=2, ca=tmp_path / "ca.pem", timeouts=Timeouts(lifetime=0.0))
        await cancelled_at_every_turn(server, pool, rounds=200, turns=200)
        assert all(mail.tls for mail in server.mails)
        assert all(mail.user == "me" for mail in server.mails)
        await pool.close()


async def test_a_veto_just_before_the_body_sends_nothing(server: SmtpServer, pool: Pool) -> None:
    class LeaseLost(Exception):
        pass

    def veto() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        await pool.send(envelope("vetoed"), before_body=veto)
    assert isinstance(await pool.send(envelope("next")), Sent)
    assert [mail.recipients for mail in server.mails] == [("next@example.org",)]
    assert (server.reached["data"], server.reached["body"], pool.fault) == (2, 1, None)


async def test_an_oserror_of_the_caller_is_not_taken_for_the_relays(server: SmtpServer, pool: Pool) -> None:
    def broken() -> None:
        raise ConnectionResetError("Redis, say")

    with pytest.raises(ConnectionResetError, match="Redis"):
        await pool.send(envelope("broken"), before_body=broken)
    assert (pool.fault, pool.free) == (None, 1)


async def test_a_cancelled_wait_for_a_session_takes_none(server: SmtpServer, pool: Pool) -> None:
    server.script["dot"] = [say("250 ok", gate=(gate := asyncio.Event()))]
    first = asyncio.create_task(pool.send(envelope("first")))
    await server.saw("dot")
    waiting = asyncio.create_task(pool.send(envelope("waiting")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    assert isinstance(await first, Sent)
    assert pool.free == 1
    assert isinstance(await pool.send(envelope("next")), Sent)
    assert [mail.recipients[0] for mail in server.mails] == ["first@example.org", "next@example.org"]


async def test_a_cancelled_trial_leaves_room_for_the_next(server: SmtpServer, pool: Pool) -> None:
    server.script["connect"] = [say("554 no", close=True), hang()]
    with pytest.raises(RelayFault):
        await pool.send(envelope("refused"))
    await pool.ready()
    trial = asyncio.create_task(pool.send(envelope("trial")))
    await server.saw("connect", 2)
    assert pool.free == 0
    watcher = asyncio.create_task(pool.ready())
    await asyncio.sleep(0)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    await asyncio.wait_for(watcher, 20)
    assert pool.free == 1
    assert isinstance(await pool.send(envelope("next")), Sent)


async def test_close_ends_what_is_under_way(server: SmtpServer) -> None:
    server.script["rcpt"] = hang()
    pool = Pool(parse_relays(server.url), sessions=1)
    sending = asyncio.create_task(pool.send(envelope("one")))
    await server.saw("rcpt")
    waiting = asyncio.create_task(pool.send(envelope("two")))
    await asyncio.sleep(0)
    await pool.close()
    told = await asyncio.gather(sending, waiting, return_exceptions=True)
    assert not any(isinstance(one, Sent) for one in told)
    with pytest.raises(RelayFault, match="closed"):
        await pool.ready()
    await server.until(lambda: not server.open)
    assert server.mails == []


async def test_close_opens_nothing_in_place_of_what_it_cuts(server: SmtpServer, pool: Pool) -> None:
    assert isinstance(await pool.send(envelope("one")), Sent)
    server.script["mail"] = hang()
    sending = asyncio.create_task(pool.send(envelope("two")))
    await server.saw("mail", 2)
    await pool.close()
    with pytest.raises(RelayFault, match="closed"):
        await sending
    assert len(server.connections) == 1
