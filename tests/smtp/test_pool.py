"""The pool on a server that behaves: many messages, few connections, and what stands on the wire."""

import asyncio

import pytest

from kinto_notify.delivery import Refused, Sent
from kinto_notify.errors import ConfigError, RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import MESSAGE, envelope
from support.smtp_server import SmtpServer, say


async def test_a_message_arrives_with_its_envelope() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=2, resolver=Resolver("kinto.example.org"))
        outcome = await pool.send(envelope())
        assert outcome == Sent(outcome.reply)
        assert str(outcome.reply) == "250 2.0.0 queued (at dot)"
        mail = (await server.wait_for(1))[0]
        assert (mail.sender, mail.recipients, mail.data) == ("bounces@example.org", ("ann@example.org",), MESSAGE)
        assert mail.message_id == "<1@test.invalid>"
        assert mail.options == (f"SIZE={len(MESSAGE)}",)
        assert server.connections[0].lines[0] == b"EHLO kinto.example.org"
        assert (pool.free, pool.fault) == (2, None)
        await pool.close()
        assert server.connections[0].lines[-1] == b"QUIT"


async def test_sessions_are_reused_and_never_more_than_allowed() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=3)
        outcomes = await asyncio.gather(*(pool.send(envelope(f"r{n}@example.org")) for n in range(60)))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        assert sorted(mail.recipient for mail in server.mails) == sorted(f"r{n}@example.org" for n in range(60))
        assert server.most == len(server.connections) == 3
        await pool.close()


async def test_s14_a_session_ends_after_a_hundred_messages() -> None:
    async with SmtpServer(cap=1) as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        for n in range(101):
            assert isinstance(await pool.send(envelope(f"r{n}@example.org")), Sent)
        assert [connection.messages for connection in server.connections] == [100, 1]
        assert server.connections[0].lines[-1] == b"QUIT"
        await pool.close()


async def test_a_session_ends_after_its_lifetime() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(lifetime=0.0))
        for _ in range(3):
            assert isinstance(await pool.send(envelope()), Sent)
        assert [connection.messages for connection in server.connections] == [1, 1, 1]
        await pool.close()


async def test_an_idle_session_is_given_back() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=2, timeouts=Timeouts(idle=0.01))
        await asyncio.gather(pool.send(envelope()), pool.send(envelope()))
        await server.until(lambda: not server.open)
        assert all(connection.lines[-1] == b"QUIT" for connection in server.connections)
        assert isinstance(await pool.send(envelope()), Sent)
        await pool.close()


async def test_free_counts_what_could_be_sent_now() -> None:
    async with SmtpServer() as server:
        server.script["dot"] = say("250 slow", gate=(gate := asyncio.Event()))
        pool = Pool(parse_relays(server.url), sessions=3)
        tasks = [asyncio.create_task(pool.send(envelope())) for _ in range(5)]
        await server.saw("dot", 3)
        # The other two only wait, though they may be announced already.
        assert (pool.free, pool.busy) == (0, 3)
        gate.set()
        await asyncio.gather(*tasks)
        assert (pool.free, pool.busy) == (3, 0)
        await pool.close()
        assert pool.free == 0
        with pytest.raises(RelayFault, match="closed"):
            await pool.send(envelope())


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"A: b\r\n\r\n.\r\n..\r\n.x\r\n", b"A: b\r\n\r\n..\r\n...\r\n..x\r\n"),
        (b".A: b\r\n\r\nx", b"..A: b\r\n\r\nx\r\n"),
        (b"A: b\n\nx\ry\r\nz", b"A: b\r\n\r\nx\r\ny\r\nz\r\n"),
        (b"A: b\r\n\r\nx\n.\r\nMAIL FROM:<evil@x>\r\n", b"A: b\r\n\r\nx\r\n..\r\nMAIL FROM:<evil@x>\r\n"),
        (b"A: b\r\n\r\nx\r.\rMAIL FROM:<evil@x>\r\n", b"A: b\r\n\r\nx\r\n..\r\nMAIL FROM:<evil@x>\r\n"),
        (b"A: b\r\n\r\nx\r\r\n.\r\r\ny\r\n", b"A: b\r\n\r\nx\r\n\r\n..\r\n\r\ny\r\n"),
        (b"", b""),
    ],
)
async def test_c06_dots_are_stuffed_and_only_crlf_travels(message: bytes, wire: bytes) -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        assert isinstance(await pool.send(envelope(message=message)), Sent)
        assert [mail.raw for mail in await server.wait_for(1)] == [wire]
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.mails[1].data == MESSAGE
        await pool.close()


async def test_a_large_message_goes_whole() -> None:
    body = MESSAGE + b".0123456789\r\n" * 150_000
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        assert isinstance(await pool.send(envelope(message=body)), Sent)
        assert server.mails[0].data == body
        await pool.close()


async def test_s20_c04_what_a_plain_server_cannot_take_is_refused_alone() -> None:
    async with SmtpServer(extensions=("SIZE 100",)) as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        told = []
        for bad in (
            envelope("josé@example.org", smtputf8=True),
            envelope("josé@example.org"),
            envelope(message="Subject: é\r\n\r\n".encode()),
            envelope(message=MESSAGE * 3),
            envelope("ann@example.org> SIZE=1"),
            envelope("ann@example.org\r\nRSET"),
        ):
            outcome = await pool.send(bad)
            assert isinstance(outcome, Refused)
            told.append(outcome.reply.text[:5])
        assert told == ["5.6.7", "5.6.7", "5.6.3", "5.3.4", "5.1.3", "5.1.3"]
        assert isinstance(await pool.send(envelope()), Sent)
        assert (len(server.connections), server.reached["mail"], pool.fault) == (1, 1, None)
        await pool.close()


async def test_what_a_modern_server_offers_is_used() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        message = "Subject: é\r\n\r\né\r\n".encode()
        assert isinstance(await pool.send(envelope("josé@example.org", message, smtputf8=True)), Sent)
        assert server.mails[0].options == (f"SIZE={len(message)}", "BODY=8BITMIME", "SMTPUTF8")
        assert server.mails[0].recipient == "josé@example.org"
        await pool.close()


async def test_s20_a_server_that_knows_only_helo_is_served() -> None:
    async with SmtpServer() as server:
        server.script["ehlo"] = "502 5.5.1 no EHLO here"
        pool = Pool(parse_relays(server.url), sessions=1)
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.mails[0].options == ()
        await pool.close()


async def test_a_host_without_a_full_name_says_its_address() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1, resolver=Resolver("an_odd host"))
        await pool.send(envelope())
        assert server.connections[0].lines[0] == b"EHLO [127.0.0.1]"
        await pool.close()


async def test_s19_ipv6_refused_ipv4_serves() -> None:
    """`localhost` is `::1` and `127.0.0.1` where both exist; the server listens on the second alone."""
    async with SmtpServer() as server:
        pool = Pool((Relay("localhost", server.port, Tls.CLEAR),), sessions=1)
        assert isinstance(await pool.send(envelope()), Sent)
        await pool.close()


def test_a_pool_needs_a_relay_and_a_readable_ca(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        Pool((), sessions=1)
    with pytest.raises(ConfigError, match="SMTP_CA"):
        Pool((Relay("mail", 465, Tls.IMPLICIT),), sessions=1, ca=tmp_path / "none.pem")
