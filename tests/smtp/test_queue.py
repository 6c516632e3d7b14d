"""Who waits for a session, and what becomes of them: cancelled, stalled, retired, tripped, at the end."""

import asyncio
from pathlib import Path

import pytest

from kinto_notify.delivery import Deferred, Envelope, Sent
from kinto_notify.errors import NoSession, RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.foresight import Foresight
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import QUICK
from support.smtp_server import SmtpServer, drop, say, tls_contexts


def message(name: str) -> Envelope:
    return Envelope("bounces@example.org", f"{name}@example.org", f"Subject: {name}\r\n\r\n{name}\r\n".encode())


def sending(pool: Pool, *names: str) -> list["asyncio.Task[object]"]:
    return [asyncio.create_task(pool.send(message(name))) for name in names]


def taken(server: SmtpServer) -> list[str]:
    """The names of the messages that the server took, each of which is whole and its recipient's own."""
    names = [mail.recipient.partition("@")[0] for mail in server.mails]
    assert [mail.data.split()[-1].decode() for mail in server.mails] == names
    assert all(len(mail.recipients) == 1 for mail in server.mails)
    return names


async def test_those_who_wait_are_served_in_their_order(server: SmtpServer) -> None:
    pool = Pool(parse_relays(server.url), sessions=1)
    names = [f"r{number}" for number in range(20)]
    outcomes = await asyncio.gather(*sending(pool, *names))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert taken(server) == names
    assert len(server.connections) == 1
    await pool.close()


async def test_s14_none_is_announced_beyond_the_hundredth_message() -> None:
    async with SmtpServer(cap=1) as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        outcomes = await asyncio.gather(*sending(pool, *(f"r{number}" for number in range(250))))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        said = [connection.lines for connection in server.connections]
        assert [sum(line.startswith(b"MAIL") for line in lines) for lines in said] == [100, 100, 50]
        assert said[0][-1] == said[1][-1] == b"QUIT"
        await pool.close()


@pytest.mark.parametrize("limit", [1, 3])
async def test_s14_a_relay_that_ends_its_sessions_early_gets_all(server: SmtpServer, limit: int) -> None:
    server.messages_per_connection = limit
    pool = Pool(parse_relays(server.url), sessions=2)
    names = [f"r{number}" for number in range(24)]
    outcomes = await asyncio.gather(*sending(pool, *names))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert sorted(taken(server)) == sorted(names)
    assert pool.fault is None
    await pool.close()


def test_foresight_rests_after_three_in_vain_and_is_tried_again() -> None:
    made = Foresight(rest=300.0)
    for _ in range(5):
        made.failed(0.0)
        made.failed(0.0)
        made.worked()
    assert made.trusted(0.0)
    made.failed(1.0)
    made.failed(2.0)
    assert made.trusted(2.0)
    made.failed(3.0)
    assert not made.trusted(302.0)
    assert made.trusted(303.0)
    made.failed(304.0)
    assert not made.trusted(603.0)


async def test_s13_nobody_waits_behind_a_dot_that_takes_long(server: SmtpServer) -> None:
    """Three messages, two sessions: the third is announced behind the first, whose dot stalls; the second session
    takes it then. The first has its verdict all the same, and its session ends, as nobody goes on there."""
    server.script["dot"] = [say("250 at last", gate=(gate := asyncio.Event()))]
    pool = Pool(parse_relays(server.url), sessions=2, timeouts=Timeouts(stall=0.2))
    first, second = sending(pool, "ann", "bob")
    (third,) = sending(pool, "eve")
    assert isinstance(await second, Sent)
    assert isinstance(await third, Sent)
    assert sorted(taken(server)) == ["ann", "bob", "eve"]
    assert not first.done()
    gate.set()
    assert isinstance(await first, Sent)
    assert len(taken(server)) == 3
    assert pool.free == 2
    standing = 1 if "PIPELINING" in server.extensions else 2
    await server.until(lambda: len(server.open) == standing)
    await pool.close()


async def test_who_is_impatient_is_told_that_there_is_no_session(server: SmtpServer) -> None:
    """It may be sent by another daemon meanwhile. Who is patient waits on."""
    server.script["dot"] = [say("250 at last", gate=(gate := asyncio.Event()))]
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(stall=0.1))
    first, second = sending(pool, "ann", "bob")
    await server.saw("dot")
    with pytest.raises(NoSession):
        await pool.send(message("eve"), impatient=True)
    gate.set()
    assert isinstance(await first, Sent)
    assert isinstance(await second, Sent)
    assert taken(server) == ["ann", "bob"]
    await pool.close()


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_s21_who_goes_while_a_dot_is_pending_harms_no_other(server: SmtpServer, number: int) -> None:
    """The sender of the message itself, of the one announced behind it, of the one that waits."""
    names = ["ann", "bob", "eve"]
    server.script["dot"] = [say("250 queued", gate=(gate := asyncio.Event()))]
    pool = Pool(parse_relays(server.url), sessions=1)
    tasks = sending(pool, *names)
    await server.saw("dot")
    tasks[number].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[number]
    gate.set()
    others = [await task for task in tasks if task is not tasks[number]]
    assert all(isinstance(outcome, Sent) for outcome in others)
    # The message itself may have been taken: nobody knows.
    del names[number]
    assert [name for name in taken(server) if name in names] == names
    assert (pool.free, pool.fault) == (1, None)
    await pool.close()


async def test_s21_cancelled_at_every_turn_among_those_that_wait(server: SmtpServer) -> None:
    """One of four on two sessions, after 0, 1, 2, … turns of the loop: the others arrive once, each in its own mail."""
    pool = Pool(parse_relays(server.url), sessions=2)
    for number in range(400):
        names = [f"n{number}-{place}" for place in range(4)]
        tasks = sending(pool, *names)
        for _ in range(number // 4 % 60):
            await asyncio.sleep(0)
        tasks[number % 4].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [name for place, name in enumerate(names) if place != number % 4]
        assert all(isinstance(outcome, Sent) for place, outcome in enumerate(outcomes) if place != number % 4)
        arrived = [name for name in taken(server) if name.startswith(f"n{number}-")]
        assert sorted(name for name in arrived if name in kept) == kept
        assert len(arrived) <= 4
        assert pool.free == 2
    assert pool.fault is None
    assert server.most <= 2
    await pool.close()


async def test_a_circuit_that_trips_leaves_the_announced_one_its_session() -> None:
    """A second connection is refused for good: who waits is told, what is on its way ends as it would have."""
    async with SmtpServer() as server:
        refused, dot = asyncio.Event(), asyncio.Event()
        server.script["connect"] = ["220 ready", say("554 5.3.2 no more", gate=refused, close=True)]
        server.script["dot"] = [say("250 queued", gate=dot)]
        pool = Pool(parse_relays(server.url), sessions=2, timeouts=Timeouts(pause_least=30.0))
        first, second, announced, waiting = sending(pool, "ann", "bob", "eve", "joe")
        await server.saw("dot")
        refused.set()
        for task in (second, waiting):
            with pytest.raises(RelayFault, match=r"554 5\.3\.2"):
                await task
        dot.set()
        assert isinstance(await first, Sent)
        assert isinstance(await announced, Sent)
        assert taken(server) == ["ann", "eve"]
        assert pool.fault is None
        await pool.close()


async def test_s18_an_announced_message_goes_to_the_next_relay_when_its_own_dies() -> None:
    async with SmtpServer() as one, SmtpServer() as other:
        one.script["dot"] = [drop(accept=True)]
        one.script["connect"] = ["220 ready", say("554 5.3.2 gone", close=True)]
        pool = Pool(parse_relays(f"{one.url},{other.url}"), sessions=1, timeouts=QUICK)
        first, second = sending(pool, "ann", "bob")
        told = await first
        assert isinstance(told, Deferred)
        assert told.ambiguous
        assert isinstance(await second, Sent)
        assert (taken(one), taken(other)) == (["ann"], ["bob"])
        await pool.close()


async def test_s14_a_crowded_relay_gets_no_announcement_on_a_session_too_many() -> None:
    async with SmtpServer() as server:
        server.script["dot"] = ["421 4.3.2 too many connections", "451 4.3.2 too many concurrent sessions"]
        pool = Pool(parse_relays(server.url), sessions=3, timeouts=QUICK)
        outcomes = await asyncio.gather(*sending(pool, *(f"r{number}" for number in range(40))))
        assert sum(isinstance(outcome, Sent) for outcome in outcomes) == 38
        assert pool.free <= 2
        await pool.close()


async def test_the_end_of_the_pool_ends_all(server: SmtpServer) -> None:
    server.script["dot"] = say("250 never", gate=asyncio.Event())
    pool = Pool(parse_relays(server.url), sessions=1)
    tasks = sending(pool, "ann", "bob", "eve")
    await server.saw("dot")
    await pool.close()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, Deferred)
    assert first.ambiguous
    assert all(isinstance(other, RelayFault) for other in others)


async def test_a_caller_may_bring_more_than_there_are_sessions_where_it_pays(server: SmtpServer) -> None:
    """Only where commands go together, and only while the relay answers promptly."""
    pool = Pool(parse_relays(server.url), sessions=4, timeouts=Timeouts(stall=1.0))
    assert (pool.room(0), pool.room(3)) == (4, 1)
    assert isinstance(await pool.send(message("ann")), Sent)
    pipelined = "PIPELINING" in server.extensions
    assert pool.room(0) == (16 if pipelined else 4)
    # Many at once: a lease for each message costs more than the message.
    assert pool.room(13) == 0
    assert pool.room(12) == (4 if pipelined else 0)
    await server.until(lambda: pool.room(0) == 4)
    await pool.close()
    assert pool.room(0) == 0


async def test_who_may_bring_more_hears_of_it_as_soon_as_a_session_is_open(server: SmtpServer) -> None:
    """With the first message already the next one is announced: the relay need not have taken one before."""
    server.script["mail"] = say("250 in a moment", gate=asyncio.Event())
    pool, heard = Pool(parse_relays(server.url), sessions=4), asyncio.Event()
    pool.roomier = heard.set
    sent = sending(pool, "ann")
    async with asyncio.timeout(10):
        await heard.wait()
    assert pool.room(1) == (15 if "PIPELINING" in server.extensions else 3)
    await pool.close()
    await asyncio.gather(*sent, return_exceptions=True)


async def test_messages_go_one_behind_the_other_over_tls(tmp_path: Path) -> None:
    context, ca = tls_contexts("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with SmtpServer(tls=context) as server:
        pool = Pool((Relay("127.0.0.1", server.port, Tls.STARTTLS),), sessions=2, ca=tmp_path / "ca.pem")
        names = [f"r{number}" for number in range(30)]
        outcomes = await asyncio.gather(*sending(pool, *names))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        assert sorted(taken(server)) == sorted(names)
        assert all(mail.tls for mail in server.mails)
        await pool.close()
