"""Each phase has a time of its own (RFC 5321 4.5.3.2), and whoever exceeds it holds nobody else up."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from kinto_notify.delivery import Deferred, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import MESSAGE, QUICK, envelope
from support.smtp_crawler import Crawler
from support.smtp_server import SmtpServer, hang, raw, say, tls_contexts

TWO_MEGABYTES = MESSAGE + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 28_000

#: The phase at which the server falls silent, the one timeout that is short, what is said; a message's own silence is
#: no fault of the relay.
SILENT: list[tuple[str, str, str]] = [
    ("connect", "greeting", "at greeting: no answer in time"),
    ("ehlo", "ehlo", "at EHLO: no answer in time"),
    ("auth", "login", "at login: no answer in time"),
    ("mail", "mail", "at MAIL: no answer in time"),
    ("rcpt", "rcpt", "RCPT"),
    ("data", "data", "DATA"),
    ("dot", "dot", "dot"),
]


def only(**short: float) -> Timeouts:
    """All as long as an hour, but these."""
    hours = {field.name: 3600.0 for field in fields(Timeouts)}
    return Timeouts(**{**hours, **short})


def test_the_defaults_are_what_rfc_5321_allows_a_client() -> None:
    """4.5.3.2.1 to .6; a shorter one would make us a bad client, the last one a sender of duplicates."""
    least = {"greeting": 300, "mail": 300, "rcpt": 300, "data": 120, "block": 180, "dot": 600}
    assert {name: getattr(Timeouts(), name) for name in least} == least


@pytest.mark.parametrize(("phase", "name", "told"), SILENT)
async def test_s01_s13_each_phase_has_a_time_of_its_own(phase: str, name: str, told: str) -> None:
    async with SmtpServer(users={"me": "pw"}) as server:
        server.script[phase] = [hang()]
        pool = Pool(parse_relays(server.url, "me", "pw"), sessions=1, timeouts=only(**{name: 0.05, "quit": 0.05}))
        if told.startswith("at "):
            with pytest.raises(RelayFault, match=told):
                await pool.send(envelope())
        else:
            outcome = await pool.send(envelope())
            assert isinstance(outcome, Deferred)
            assert (outcome.reply.phase, outcome.reply.text) == (told, "no answer in time")
            assert outcome.ambiguous is (phase == "dot")
        await server.until(lambda: not server.open)
        await pool.close()


async def test_a_clean_up_that_is_not_answered_has_the_time_of_mail() -> None:
    async with SmtpServer() as server:
        pool = Pool(parse_relays(server.url), sessions=1, timeouts=only(mail=0.05, pause_least=0.01))
        assert not isinstance(await pool.send(envelope("refuse-550@example.org")), Sent)
        server.script["rset"] = [hang()]
        # It was between two messages: a new connection takes this one, and no fault is told.
        assert isinstance(await pool.send(envelope()), Sent)
        assert (len(server.connections), pool.fault) == (2, None)
        await pool.close()


async def test_a_handshake_has_a_time_of_its_own(tmp_path: Path) -> None:
    context, ca = tls_contexts("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with SmtpServer(tls=context) as server:
        server.script["starttls"] = raw(b"220 go\r\n", hang=True)
        relay = Relay("127.0.0.1", server.port, Tls.STARTTLS)
        pool = Pool((relay,), sessions=1, ca=tmp_path / "ca.pem", timeouts=only(tls=0.05))
        with pytest.raises(RelayFault, match="at STARTTLS: no answer in time"):
            await pool.send(envelope())
        await pool.close()


async def test_s01_a_black_hole_has_the_time_of_a_connect() -> None:
    """A listener whose queue is full answers no SYN, as a firewall that drops."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        address = hole.getsockname()
        fillers = []
        try:
            for _ in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
            relay = Relay("127.0.0.1", address[1], Tls.CLEAR)
            pool = Pool((relay,), sessions=1, timeouts=only(connect=0.3), resolver=Resolver("kinto.example.org"))
            with pytest.raises(RelayFault, match="at connect: no answer in time"):
                await pool.send(envelope())
            await pool.close()
        finally:
            for filler in fillers:
                filler.close()


async def test_a_good_bye_is_not_waited_for() -> None:
    async with SmtpServer() as server:
        server.script["quit"] = hang()
        pool = Pool(parse_relays(server.url), sessions=1, timeouts=only(quit=0.05))
        assert isinstance(await pool.send(envelope()), Sent)
        await pool.close()
        await server.until(lambda: not server.open)


async def test_s01_a_banner_that_takes_long_keeps_its_own_slot_and_no_other(server: SmtpServer) -> None:
    server.script["connect"] = [say("220 at last", gate=(gate := asyncio.Event()))]
    pool = Pool(parse_relays(server.url), sessions=2, timeouts=QUICK)
    slow = asyncio.create_task(pool.send(envelope("slow@example.org")))
    await server.saw("connect")
    for number in range(5):
        assert isinstance(await pool.send(envelope(f"r{number}@example.org")), Sent)
    assert (slow.done(), pool.free, pool.fault) == (False, 1, None)
    gate.set()
    assert isinstance(await slow, Sent)
    assert (len(server.mails), server.most) == (6, 2)
    await pool.close()


async def _others_go_on(other: Pool, given_up: asyncio.Task[object]) -> None:
    """Send over another session as long as the first hangs, three times at least."""
    sent = 0
    while not given_up.done() or sent < 3:
        assert isinstance(await other.send(envelope(f"other{sent}@example.org")), Sent)
        sent += 1


@pytest.mark.parametrize("crawls", [False, True], ids=["stops-reading", "one-byte-at-a-time"])
async def test_s17_a_relay_that_takes_no_block_in_time_is_given_up_and_nothing_is_ambiguous(
    server: SmtpServer, crawls: bool
) -> None:
    async with Crawler() as crawler:
        if crawls:
            crawler.step.set()
        pool = Pool(parse_relays(crawler.url), sessions=1, timeouts=only(block=0.5))
        other = Pool(parse_relays(server.url), sessions=1)
        sending = asyncio.create_task(pool.send(envelope(message=TWO_MEGABYTES)))
        await _others_go_on(other, sending)
        told = await sending
        assert isinstance(told, Deferred)
        assert (told.ambiguous, told.reply.phase, told.reply.code) == (False, "body", 0)
        assert told.reply.text == "the relay does not read on"
        assert (crawler.taken > 0) is crawls
        assert crawler.taken < len(TWO_MEGABYTES)
        await pool.close()
        await other.close()


async def test_s17_a_relay_that_reads_slowly_but_surely_gets_all_of_it() -> None:
    """The time is each block's, not the message's: hundreds of reads, and not one takes as long as a block may."""
    async with Crawler(pace=8192) as crawler:
        crawler.step.set()
        pool = Pool(parse_relays(crawler.url), sessions=1, timeouts=only(block=60.0))
        assert isinstance(await pool.send(envelope(message=TWO_MEGABYTES)), Sent)
        assert crawler.taken == len(TWO_MEGABYTES) + len(b".\r\n")
        await pool.close()


@pytest.mark.parametrize(
    ("early", "check"),
    [
        (b"552 5.3.4 enough\r\n", lambda told: told.too_big),
        (b"421 4.3.0 enough\r\n", lambda told: isinstance(told, Deferred) and not told.ambiguous),
    ],
)
async def test_s10_a_reply_before_the_end_of_the_message_is_heard(
    early: bytes, check: Callable[[object], bool]
) -> None:
    """A server need not read two megabytes to say that they are too many."""
    async with Crawler(early=early) as crawler:
        pool = Pool(parse_relays(crawler.url), sessions=1, timeouts=only())
        told = await pool.send(envelope(message=TWO_MEGABYTES))
        assert check(told)
        assert told.reply.phase == "body"
        await pool.close()


async def test_s17_a_message_of_two_megabytes_goes_whole_over_tls(tmp_path: Path) -> None:
    context, ca = tls_contexts("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with SmtpServer(tls=context, implicit=True) as server:
        relay = Relay("127.0.0.1", server.port, Tls.IMPLICIT)
        pool = Pool((relay,), sessions=1, ca=tmp_path / "ca.pem", timeouts=only(quit=1.0))
        for _ in range(2):
            assert isinstance(await pool.send(envelope(message=TWO_MEGABYTES)), Sent)
        assert [mail.data for mail in server.mails] == [TWO_MEGABYTES] * 2
        assert len(server.connections) == 1
        await pool.close()
