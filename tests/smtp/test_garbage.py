"""S16: a server that says what no server should. Each row is temporary for the message and the end of the session."""

import tracemalloc

import pytest

from kinto_notify.delivery import Deferred, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import QUICK, envelope, persist
from support.smtp_server import Act, SmtpServer, raw, say

#: What is said, and whether it ends by a timeout alone.
ROWS = {
    "no-line-end": raw(b"250 no line end", hang=True),
    "a-line-of-a-megabyte": raw(b"250 " + b"x" * 1_000_000 + b"\r\n"),
    "endless-250-": raw(b"250-more\r\n" * 100_000, hang=True),
    "no-reply-at-all": raw(b"\xff\xfe\x00garbage\r\n"),
    "an-empty-line": raw(b"\r\n"),
    "code-999": say("999 what?"),
    "code-354": say("354 go ahead"),
    "code-100": say("100 continue"),
    "code-000": say("000 nothing"),
    "a-negative-code": raw(b"-25 what?\r\n"),
}


@pytest.mark.parametrize("act", ROWS.values(), ids=ROWS.keys())
async def test_s16_garbage_at_rcpt_is_temporary_and_ends_the_session(server: SmtpServer, act: Act) -> None:
    # A short timeout only where the server would let us wait for ever.
    timeouts = Timeouts(rcpt=0.2) if act.hang else QUICK
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=timeouts)
    assert isinstance(await pool.send(envelope()), Sent)
    server.script["rcpt"] = [act]
    told = await pool.send(envelope("bob@example.org"))
    assert isinstance(told, Deferred)
    assert not told.ambiguous
    assert len(told.reply.text) <= 500
    assert isinstance(await persist(pool, envelope("eve@example.org")), Sent)
    assert [mail.recipients[0] for mail in server.mails] == ["ann@example.org", "eve@example.org"]
    # Nothing more was said on that connection, the clean-up included; DATA was with RCPT where they go together.
    said = server.connections[0].lines
    assert said[-1].startswith(b"RCPT TO:<bob") or (said[-1] == b"DATA" and said[-2].startswith(b"RCPT TO:<bob"))
    assert len(server.connections) == 2
    await pool.close()


@pytest.mark.parametrize("act", ROWS.values(), ids=ROWS.keys())
async def test_s16_garbage_at_mail_never_lets_a_message_out(server: SmtpServer, act: Act) -> None:
    timeouts = Timeouts(mail=0.2, pause_least=0.05) if act.hang else QUICK
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=timeouts)
    server.script["mail"] = [act, act]
    try:
        told = await pool.send(envelope())
        assert isinstance(told, Deferred)
        assert not told.ambiguous
    except RelayFault:
        pass
    assert server.reached["body"] == 0
    server.script.clear()
    assert isinstance(await persist(pool, envelope()), Sent)
    assert len(server.mails) == 1
    await pool.close()


@pytest.mark.parametrize("act", ROWS.values(), ids=ROWS.keys())
async def test_s12_s16_garbage_after_the_dot_is_ambiguous(server: SmtpServer, act: Act) -> None:
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(dot=0.2 if act.hang else 600.0))
    server.script["dot"] = [act]
    told = await pool.send(envelope())
    assert isinstance(told, Deferred)
    assert told.ambiguous
    assert isinstance(await pool.send(envelope()), Sent)
    assert len(server.connections) == 2
    await pool.close()


async def test_s16_memory_stays_flat_however_much_is_said(server: SmtpServer) -> None:
    """Fifty megabytes of a reply that never ends, and not one of them is kept."""
    flood = raw(b"250-" + b"x" * 500 + b"\r\n", hang=True, times=100_000)
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=QUICK)
    assert isinstance(await pool.send(envelope()), Sent)
    server.script["rcpt"] = [flood]
    tracemalloc.start()
    try:
        assert isinstance(await pool.send(envelope("bob@example.org")), Deferred)
        assert isinstance(await persist(pool, envelope()), Sent)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The server in this process writes with flow control, at 64 KiB a time; our own limit for a reply is 32 KiB.
    assert peak < 4_000_000
    await pool.close()


async def test_a_reply_that_comes_twice_never_sends_a_message_wrongly(server: SmtpServer, pool: Pool) -> None:
    server.script["mail"] = [raw(b"250 ok\r\n250 ok\r\n")]
    told = await pool.send(envelope("refuse-550@example.org"))
    assert not isinstance(told, Sent)
    assert isinstance(await persist(pool, envelope()), Sent)
    assert [mail.recipients for mail in server.mails] == [("ann@example.org",)]


async def test_s16_a_size_that_no_number_holds_is_no_limit() -> None:
    """Python refuses to read a number of more than 4,300 digits."""
    async with SmtpServer(extensions=("SIZE " + "9" * 5_000,)) as server:
        pool = Pool(parse_relays(server.url), sessions=1, timeouts=QUICK)
        assert isinstance(await pool.send(envelope()), Sent)
        await pool.close()
