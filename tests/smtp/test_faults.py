"""A relay that misbehaves, once connected or before: the S-rows about one session and one message."""

import asyncio

import pytest

from kinto_notify.delivery import AMBIGUOUS_DELAY_MS, Deferred, Refused, Sent
from kinto_notify.demo.servers import free_port
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import QUICK, envelope, persist
from support.smtp_server import Act, SmtpServer, drop, hang, raw, say


async def test_s01_a_refused_connection_is_a_relay_fault_and_ends() -> None:
    server = SmtpServer()
    server.port = free_port()
    pool = Pool(parse_relays(server.url), sessions=2, timeouts=QUICK)
    with pytest.raises(RelayFault, match=rf"127.0.0.1:{server.port} at connect: connection refused"):
        await pool.send(envelope())
    assert pool.fault is not None
    assert pool.free == 0
    async with server:
        assert isinstance(await persist(pool, envelope()), Sent)
        assert (pool.fault, pool.free) == (None, 2)
        await pool.close()


async def test_s01_a_black_hole_and_a_silent_server_time_out(server: SmtpServer) -> None:
    server.script["connect"] = hang()
    pool = Pool(parse_relays(server.url), sessions=2, timeouts=Timeouts(greeting=0.05))
    with pytest.raises(RelayFault, match="at greeting: no answer in time"):
        await pool.send(envelope())
    await pool.close()
    await server.until(lambda: not server.open)


@pytest.mark.parametrize(
    ("phase", "act", "told"),
    [
        ("connect", say("421 4.3.2 going down", close=True), "at greeting: 421 4.3.2 going down"),
        ("connect", say("554 5.7.1 go away", close=True), "at greeting: 554 5.7.1 go away"),
        ("connect", drop(), "at greeting: the connection was closed"),
        ("connect", raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "at greeting: Malformed"),
        ("ehlo", say("421 no", close=True), "at EHLO: 421 no"),
        ("ehlo", say("451 no"), "at EHLO: 451 no"),
        ("ehlo", drop(), "at EHLO: the connection was closed"),
        ("mail", say("421 4.3.2 going down", close=True), "at MAIL: 421 4.3.2 going down"),
        ("mail", say("550 5.7.1 sender not owned"), "at MAIL: 550 5.7.1 sender not owned"),
        ("mail", drop(), "at MAIL: the connection was closed"),
        ("rcpt", say("421 4.3.2 going down", close=True), "at RCPT: 421 4.3.2 going down"),
        ("data", say("421 4.3.2 going down", close=True), "at DATA: 421 4.3.2 going down"),
    ],
)
async def test_s02_s11_a_fault_of_the_relay_costs_the_delivery_nothing(
    server: SmtpServer, pool: Pool, phase: str, act: Act, told: str
) -> None:
    server.script[phase] = [act]
    with pytest.raises(RelayFault) as caught:
        await pool.send(envelope())
    assert str(caught.value).startswith(f"127.0.0.1:{server.port} {told}")
    assert pool.fault == str(caught.value)
    # Nothing is tried while the circuit is open.
    before = len(server.connections)
    with pytest.raises(RelayFault):
        await pool.send(envelope())
    assert len(server.connections) == before
    assert isinstance(await persist(pool, envelope()), Sent)
    assert (len(server.mails), pool.fault) == (1, None)


async def test_s03_a_login_refused_for_long_opens_the_circuit_and_shows_no_secret() -> None:
    async with SmtpServer(users={"me": "right"}) as server:
        pool = Pool(parse_relays(server.url, "me", "hunter2"), sessions=3, timeouts=QUICK)
        server.script["auth"] = ["535 5.7.8 wrong: AGh1bnRlcg== AG1lAGh1bnRlcjI= hunter2"] * 4
        for tries in range(1, 5):
            await pool.ready()
            assert pool.free == (3 if tries == 1 else 1)
            with pytest.raises(RelayFault, match=r"at login: 535 5\.7\.8") as caught:
                await pool.send(envelope())
            assert "hunter2" not in str(caught.value) + str(pool.fault)
            assert "AG1lAGh1bnRlcjI=" not in str(caught.value)
            assert server.reached["auth"] == tries
        await pool.ready()
        server.users = {"me": "hunter2"}
        assert isinstance(await persist(pool, envelope()), Sent)
        assert server.mails[0].user == "me"
        await pool.close()


async def test_login_falls_back_to_the_second_method_only_where_the_first_is_missing() -> None:
    async with SmtpServer(users={"me": "pw"}) as server:
        pool = Pool(parse_relays(server.url, "me", "pw"), sessions=1, timeouts=QUICK)
        server.script["auth"] = ["504 5.5.4 no PLAIN"]
        assert isinstance(await pool.send(envelope()), Sent)
        assert [line[:10] for line in server.connections[0].lines if line.startswith(b"AUTH")] == [
            b"AUTH PLAIN",
            b"AUTH LOGIN",
        ]
        await pool.close()


async def test_a_login_that_is_not_offered_is_a_relay_fault(server: SmtpServer) -> None:
    pool = Pool(parse_relays(server.url, "me", "pw"), sessions=1, timeouts=QUICK)
    with pytest.raises(RelayFault, match="at login: the relay offers no login"):
        await pool.send(envelope())
    assert not server.mails
    await pool.close()


@pytest.mark.parametrize(
    ("phase", "reply", "outcome"),
    [
        ("mail", "452 4.3.1 full", Deferred),
        ("rcpt", "450 4.2.0 greylisted", Deferred),
        ("rcpt", "550 5.1.1 unknown", Refused),
        ("data", "451 4.3.0 later", Deferred),
        ("data", "554 5.5.0 no", Refused),
        ("dot", "452 4.3.1 full", Deferred),
        ("dot", "421 4.3.2 going down", Deferred),
        ("dot", "552 5.3.4 too big", Refused),
        ("dot", "554 5.7.1 spam", Refused),
    ],
)
async def test_s07_s08_s09_s10_a_refusal_is_about_one_message(
    server: SmtpServer, pool: Pool, phase: str, reply: str, outcome: type
) -> None:
    server.script[phase] = [reply]
    told = await pool.send(envelope())
    assert type(told) is outcome
    assert f"{told.reply.code} {told.reply.text}" == reply
    assert (pool.fault, server.mails) == (None, [])
    assert isinstance(await pool.send(envelope("bob@example.org")), Sent)
    assert [mail.recipients for mail in server.mails] == [("bob@example.org",)]


async def test_s07_a_greylisted_envelope_passes_unchanged_the_second_time(server: SmtpServer, pool: Pool) -> None:
    message = envelope("greylist@example.org")
    assert isinstance(await pool.send(message), Deferred)
    assert isinstance(await pool.send(message), Sent)
    assert len(server.connections) == 1
    assert server.connections[0].lines.count(b"RSET") == 1


async def test_refusals_wear_a_session_out_but_not_the_relay(server: SmtpServer, pool: Pool) -> None:
    for _ in range(12):
        assert isinstance(await pool.send(envelope("refuse-550@example.org")), Refused)
    assert isinstance(await pool.send(envelope()), Sent)
    assert [connection.messages for connection in server.connections] == [0, 0, 1]
    assert (pool.fault, server.mails[0].recipients) == (None, ("ann@example.org",))


async def test_s11_s14_a_session_closed_between_two_messages_is_replaced(server: SmtpServer, pool: Pool) -> None:
    server.messages_per_connection = 2
    for _ in range(7):
        assert isinstance(await pool.send(envelope()), Sent)
    assert [connection.messages for connection in server.connections] == [2, 2, 2, 1]
    assert pool.fault is None


CLOSING = say("421 4.3.2 going down", close=False)


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data", "dot"])
async def test_s11_a_connection_that_said_421_is_never_used_again(server: SmtpServer, pool: Pool, phase: str) -> None:
    """Even where the server would let it stand: not another word is said on it."""
    server.script[phase] = [CLOSING]
    try:
        assert isinstance(await pool.send(envelope("first@example.org")), Deferred)
        assert phase == "dot"
    except RelayFault:
        assert phase != "dot"
    said = len(server.connections[0].lines)
    for number in range(3):
        assert isinstance(await persist(pool, envelope(f"r{number}@example.org")), Sent)
    assert len(server.connections[0].lines) == said
    assert server.connections[0].messages == (phase == "dot")
    assert [mail.connection for mail in server.mails] == [1, 1, 1]


async def test_s11_a_session_cut_while_idle_is_replaced(server: SmtpServer, pool: Pool) -> None:
    assert isinstance(await pool.send(envelope()), Sent)
    server.connections[0].writer.write(b"421 4.4.2 idle too long\r\n")
    server.connections[0].writer.close()
    assert isinstance(await pool.send(envelope()), Sent)
    assert [connection.messages for connection in server.connections] == [1, 1]
    assert pool.fault is None


async def test_s11_an_unsolicited_421_is_no_reply_to_the_next_command(server: SmtpServer, pool: Pool) -> None:
    """The server says it but stays: what it said must not be taken for the answer to MAIL."""
    assert isinstance(await pool.send(envelope()), Sent)
    server.connections[0].writer.write(b"421 4.4.2 idle too long\r\n")
    await server.connections[0].writer.drain()
    for _ in range(3):
        assert isinstance(await pool.send(envelope()), Sent)
    assert len(server.mails) == 4


async def test_s12_the_dot_accepted_and_no_reply_is_ambiguous(server: SmtpServer, pool: Pool) -> None:
    server.script["dot"] = [drop(accept=True)]
    told = await pool.send(envelope())
    assert isinstance(told, Deferred)
    assert (told.ambiguous, told.not_before) == (True, AMBIGUOUS_DELAY_MS)
    assert (told.reply.code, told.reply.phase) == (0, "dot")
    assert isinstance(await pool.send(envelope()), Sent)
    assert [mail.message_id for mail in server.mails] == ["<1@test.invalid>"] * 2


@pytest.mark.parametrize("phase", ["rcpt", "data"])
async def test_a_connection_lost_before_the_dot_is_not_ambiguous(server: SmtpServer, pool: Pool, phase: str) -> None:
    server.script[phase] = [drop()]
    told = await pool.send(envelope())
    assert isinstance(told, Deferred)
    assert (told.ambiguous, told.not_before) == (False, 0)


async def test_s13_a_slow_dot_is_waited_for(server: SmtpServer) -> None:
    """Every other timeout is long over when the dot is answered; its own is not."""
    server.script["dot"] = say("250 at last", gate=(gate := asyncio.Event()))
    short = Timeouts(mail=1.0, rcpt=1.0, data=1.0, quit=1.0)
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=short)
    task = asyncio.create_task(pool.send(envelope()))
    await server.saw("dot")
    done, _ = await asyncio.wait({task}, timeout=1.2)
    assert not done
    gate.set()
    assert isinstance(await task, Sent)
    assert len(server.mails) == 1
    await pool.close()


async def test_s13_a_dot_that_is_never_answered_is_ambiguous(server: SmtpServer) -> None:
    server.script["dot"] = hang(accept=True)
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(dot=0.05))
    told = await pool.send(envelope())
    assert isinstance(told, Deferred)
    assert told.ambiguous
    await pool.close()
