"""How many sessions stand at once: our own cap, what a relay grants, and the slow start after an outage."""

import asyncio
from collections.abc import Awaitable

import pytest

from kinto_notify.delivery import Deferred, Outcome, Reply, Sent
from kinto_notify.demo.servers import free_port
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.allowance import Allowance
from kinto_notify.smtp.lane import Lane
from kinto_notify.smtp.outcome import RelayAtFault
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import QUICK, envelope, persist
from support.smtp_server import SmtpServer, drop, say


def many(pool: Pool, count: int, name: str = "r") -> list[Awaitable[Outcome]]:
    return [pool.send(envelope(f"{name}{number}@example.org")) for number in range(count)]


def all_sent(outcomes: list[Outcome], server: SmtpServer) -> bool:
    """Each once, and none twice."""
    recipients = [mail.recipient for mail in server.mails]
    return all(isinstance(one, Sent) for one in outcomes) and len(recipients) == len(set(recipients))


# The arithmetic.


def test_l06_an_allowance_starts_slowly_and_doubles_with_each_round() -> None:
    allowance = Allowance(10, regrow=60.0, stall=5.0)
    assert allowance.granted(0.0) == 10
    allowance.restart(0.0)
    rounds = [allowance.granted(0.0)]
    for _ in range(4):
        for _ in range(allowance.granted(0.0)):
            allowance.worked(0.0)
        rounds.append(allowance.granted(0.0))
    assert rounds == [1, 2, 4, 8, 10]


def test_l06_an_allowance_that_gets_no_answer_grows_by_one_at_a_time() -> None:
    allowance = Allowance(4, regrow=60.0, stall=5.0)
    allowance.restart(100.0)
    assert [allowance.granted(100.0 + later) for later in (0, 4.9, 5, 10, 15, 1000)] == [1, 1, 2, 3, 4, 4]
    allowance.worked(110.0)
    assert [allowance.granted(110.0 + later) for later in (0, 4.9, 5)] == [4, 4, 4]


def test_s14_an_allowance_settles_at_what_stood_and_asks_for_more_later_and_later() -> None:
    allowance = Allowance(10, regrow=60.0, stall=5.0)
    for standing in (9, 8, 7, 6, 5):
        allowance.refused(0.0, standing)
    assert allowance.granted(1e9) == 5
    now, asked = 0.0, []
    while len(asked) < 6:
        now += 1
        allowance.worked(now)
        if allowance.granted(now) > 5:
            asked.append(now)
            allowance.refused(now, 5)
    # A minute after the first refusal, then twice as long after each that was in vain, sixteen minutes at most.
    assert [late - early for early, late in zip([0.0, *asked], asked, strict=False)] == [60, 120, 240, 480, 960, 960]


def test_s14_an_allowance_that_is_granted_grows_by_one_at_a_time() -> None:
    allowance = Allowance(8, regrow=60.0, stall=5.0)
    allowance.refused(0.0, 5)
    sizes = []
    for now in range(300):
        allowance.worked(float(now))
        sizes.append(allowance.granted(float(now)))
    assert [sizes.index(size) for size in (5, 6, 7, 8)] == [0, 60, 120, 180]
    assert max(sizes) == 8


def test_an_allowance_is_never_nothing() -> None:
    allowance = Allowance(3, regrow=60.0, stall=5.0)
    allowance.refused(0.0, 0)
    assert allowance.granted(0.0) == 1


def test_l06_the_slow_start_begins_when_the_circuit_closes_however_long_it_was_open() -> None:
    lane = Lane(Relay("relay", 25, Tls.CLEAR), 10, Timeouts())
    lane.trip(RelayAtFault(Reply(0, "connection refused", "connect")), begun=0.0, now=0.0)
    sent = Sent(Reply(250, "ok", "dot"))
    widths = []
    for _ in range(9):
        lane.worked(sent, 3600.0)
        widths.append(lane.allowance.granted(3600.0))
    # The trial was the first of them.
    assert widths == [2, 3, 4, 5, 6, 7, 8, 9, 10]


# Against a server that counts.


@pytest.mark.parametrize("reply", ["421 4.7.0 too many connections from you", "421 4.3.2 try later", "450 4.7.1 busy"])
async def test_s14_the_pool_settles_at_five_where_the_sixth_is_refused(reply: str) -> None:
    async with SmtpServer(cap=5, cap_reply=reply) as server:
        pool = Pool(parse_relays(server.url), sessions=10, timeouts=QUICK)
        assert all_sent(await asyncio.gather(*many(pool, 100)), server)
        assert (len(server.mails), server.most) == (100, 5)
        assert (pool.free, pool.fault) == (5, None)
        refused = server.refused
        # Known now, it is not tried again and again.
        assert all_sent(await asyncio.gather(*many(pool, 100, "later")), server)
        assert server.refused == refused <= 5
        await pool.close()


@pytest.mark.parametrize("phase", ["ehlo", "mail", "rcpt", "data"])
async def test_s14_too_many_connections_may_be_said_at_any_phase(server: SmtpServer, phase: str) -> None:
    """Nothing is lost and nothing is deferred: another session of ours takes the message."""
    pool = Pool(parse_relays(server.url), sessions=3, timeouts=QUICK)
    server.script["dot"] = [say("250 ok", gate=(gate := asyncio.Event()))]
    first = asyncio.create_task(pool.send(envelope("first@example.org")))
    await server.saw("dot")
    server.script[phase] = [say("451 4.7.0 too many connections from your address")]
    second = asyncio.create_task(pool.send(envelope("second@example.org")))
    await server.saw(phase, 2)
    await server.until(lambda: len(server.open) == 1)
    assert pool.free == 0
    gate.set()
    assert all_sent(await asyncio.gather(first, second), server)
    assert (len(server.mails), pool.free, pool.fault) == (2, 1, None)
    await pool.close()


async def test_s14_too_many_connections_with_none_of_ours_is_the_relays_fault(server: SmtpServer, pool: Pool) -> None:
    """Another daemon has them all: nothing is deferred or buried, and it is asked again after a pause."""
    server.script["connect"] = [say("421 4.7.0 too many connections", close=True)] * 3
    with pytest.raises(RelayFault, match=r"421 4\.7\.0 too many connections"):
        await pool.send(envelope())
    assert isinstance(await persist(pool, envelope()), Sent)
    assert len(server.mails) == 1


async def test_s14_too_many_connections_at_the_dot_defers_one_and_asks_for_fewer(server: SmtpServer) -> None:
    pool = Pool(parse_relays(server.url), sessions=4, timeouts=QUICK)
    server.script["dot"] = ["432 4.3.2 concurrent connections limit exceeded"]
    assert isinstance(await pool.send(envelope()), Deferred)
    assert (pool.free, pool.fault) == (3, None)
    await pool.close()


async def test_s14_a_lifted_cap_is_noticed() -> None:
    async with SmtpServer(cap=1) as server:
        pool = Pool(parse_relays(server.url), sessions=3, timeouts=Timeouts(regrow=0.0))
        await asyncio.gather(*many(pool, 3))
        server.cap = None

        async def grown() -> None:
            while server.most < 3:
                await asyncio.gather(*many(pool, 6))

        await asyncio.wait_for(grown(), 20)
        assert (pool.free, pool.fault) == (3, None)
        await pool.close()


@pytest.mark.parametrize("says", [True, False], ids=["421", "silently"])
async def test_s14_a_relay_that_closes_after_fifty_messages_gets_all_of_them(says: bool) -> None:
    async with SmtpServer(messages_per_connection=50) as server:
        if not says:
            server.script["dot"] = ["250 ok"] * 49 + [say("250 2.0.0 queued, and good-bye", close=True)]
        pool = Pool(parse_relays(server.url), sessions=1, timeouts=QUICK)
        for number in range(120):
            assert isinstance(await pool.send(envelope(f"r{number}@example.org")), Sent)
        assert len({mail.recipient for mail in server.mails}) == len(server.mails) == 120
        assert [connection.messages for connection in server.connections] == [50, 50, 20]
        assert pool.fault is None
        await pool.close()


async def _outage_ends(server: SmtpServer, pool: Pool) -> None:
    """Let the pool learn that the server is away, then bring the server back."""
    await server.stop()
    with pytest.raises(RelayFault):
        await pool.send(envelope("lost@example.org"))
    server.most = 0
    await server.start()
    await pool.ready()


async def test_l06_a_relay_that_comes_back_sees_one_session_first_and_twice_as_many_each_round(
    server: SmtpServer,
) -> None:
    pool = Pool(parse_relays(server.url), sessions=10, timeouts=QUICK)
    assert all_sent(await asyncio.gather(*many(pool, 30)), server)
    assert server.most == 10
    await _outage_ends(server, pool)
    gates = [asyncio.Event() for _ in range(64)]
    server.script["dot"] = [say("250 ok", gate=gate) for gate in gates]
    seen = server.reached["dot"]
    sending = [asyncio.create_task(persist(pool, envelope(f"late{number}@example.org"))) for number in range(60)]
    answered = 0
    for width in (1, 2, 4, 8, 10, 10):
        # So many wait for their answer, and no other comes in before one of them is answered.
        await server.saw("dot", seen + answered + width)
        assert (len(server.open), server.reached["dot"]) == (width, seen + answered + width)
        assert pool.free == 0
        for gate in gates[answered : answered + width]:
            gate.set()
        answered += width
    for gate in gates:
        gate.set()
    assert all_sent(await asyncio.gather(*sending), server)
    assert server.most == 10
    await pool.close()


async def test_the_cap_holds_over_all_relays_and_phases() -> None:
    """Sessions that open, work, rest or say good-bye count, at whichever relay; the servers count what stands."""
    async with SmtpServer() as first, SmtpServer() as second:
        pool = Pool(
            parse_relays(f"{first.url},{second.url}"),
            sessions=4,
            timeouts=Timeouts(pause_least=0.01, pause_most=0.02, lifetime=0.02, idle=0.01, quit=1.0),
        )
        most = 0
        done = False

        async def watch() -> None:
            nonlocal most
            while not done:
                most = max(most, sum(not one.ended for server in (first, second) for one in server.open))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        first.script["connect"] = ["220 hi", "220 hi", drop(), "220 hi", say("421 4.3.2 no", close=True)] * 8
        first.script["mail"] = ["250 ok", "550 5.7.1 not your sender", "250 ok", drop(), "421 4.3.0 no"] * 8
        first.script["rcpt"] = ["250 ok", "450 4.2.0 later", drop()] * 8
        sending = [persist(pool, envelope(f"r{number}@example.org")) for number in range(150)]
        outcomes = await asyncio.gather(*sending)
        done = True
        await watching
        assert len(first.mails) + len(second.mails) == sum(isinstance(one, Sent) for one in outcomes)
        assert second.mails
        assert first.mails
        assert most == 4
        await pool.close()


async def test_sessions_that_connect_count_too() -> None:
    """A relay that greets nobody gets as many connections as we may have, and not one for each message."""
    async with SmtpServer() as server:
        server.script["connect"] = say("220 at last", gate=(gate := asyncio.Event()))
        pool = Pool(parse_relays(server.url), sessions=3, timeouts=QUICK)
        sending = [asyncio.create_task(one) for one in many(pool, 12)]
        await server.saw("connect", 3)
        assert (len(server.open), pool.free) == (3, 0)
        gate.set()
        assert all_sent(await asyncio.gather(*sending), server)
        assert server.most == len(server.connections) == 3
        await pool.close()


async def test_a_good_bye_that_takes_long_keeps_its_place(server: SmtpServer) -> None:
    server.script["quit"] = say("221 bye", gate=(gate := asyncio.Event()), close=True)
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(idle=0.01, quit=3600.0))
    assert isinstance(await pool.send(envelope()), Sent)
    await server.saw("quit")
    next_one = asyncio.create_task(pool.send(envelope("next@example.org")))
    # Many times the turns that a new connection over loopback takes.
    for _ in range(500):
        await asyncio.sleep(0)
    assert (len(server.connections), next_one.done()) == (1, False)
    gate.set()
    assert isinstance(await next_one, Sent)
    assert (server.most, len(server.connections)) == (1, 2)
    await pool.close()


async def test_a_port_that_refuses_takes_no_place_from_the_next_relay(server: SmtpServer) -> None:
    pool = Pool(parse_relays(f"smtp://127.0.0.1:{free_port()},{server.url}"), sessions=2, timeouts=QUICK)
    assert all_sent(await asyncio.gather(*many(pool, 20)), server)
    assert (server.most, pool.fault) == (2, None)
    await pool.close()
