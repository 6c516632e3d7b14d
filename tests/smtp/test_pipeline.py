"""RFC 2920: a transaction's commands go out in one write, and each reply counts for its own command."""

import asyncio

import pytest
from aiosmtplib import SMTPResponseException

from kinto_notify.delivery import Deferred, Refused, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.replies import take
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import MESSAGE, envelope
from support.smtp_dialogue import ACCEPTING, Dialogue, Turn
from support.smtp_server import SmtpServer, say

COMMANDS = b"MAIL FROM:<bounces@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"
MAIL = COMMANDS + MESSAGE + b".\r\n"
NEXT = b"RSET\r\n" + MAIL
#: What the server says when it has the commands of the second message, whether RSET came before or not.
RESET: list[Turn] = [(b"DATA\r\n", b"250 clean\r\n250 ok\r\n250 ok\r\n354 go\r\n"), (b"\r\n.\r\n", b"250 queued\r\n")]


def only_one(server: Dialogue, **short: float) -> Pool:
    return Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(pause_least=0.01, quit=0.2, **short))


async def test_the_commands_go_together_and_the_message_waits_for_the_354() -> None:
    """The server answers nothing before it has heard DATA; so does the one that answers with a line cut in two."""
    async with Dialogue([ACCEPTING * 2]) as server:
        pool = only_one(server)
        for _ in range(2):
            assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [MAIL * 2]
        await pool.close()


async def test_a_relay_that_does_not_offer_it_is_asked_one_by_one() -> None:
    """Each command must be there, and no further one, before the server answers."""
    one_by_one: list[Turn] = [
        (b"MAIL FROM:<bounces@example.org>\r\n", b"250 ok\r\n"),
        (b"RCPT TO:<ann@example.org>\r\n", b"250 ok\r\n"),
        (b"DATA\r\n", b"354 go\r\n"),
        (b"\r\n.\r\n", b"250 queued\r\n"),
    ]
    async with Dialogue([one_by_one], offers=b"8BITMIME") as server:
        pool = only_one(server)
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [MAIL]
        await pool.close()


#: What the relay says to MAIL, RCPT and DATA; what that means, at which phase; whether a lone dot follows.
REFUSALS = {
    "rcpt-and-data": (b"250 ok\r\n550 5.1.1 no\r\n554 5.5.1 none\r\n", Refused, "RCPT", False),
    "rcpt-and-bad-sequence": (b"250 ok\r\n550-5.1.1 no\r\n550 really\r\n503 what\r\n", Refused, "RCPT", False),
    "rcpt-yet-354": (b"250 ok\r\n550 5.1.1 no\r\n354 go\r\n", Refused, "RCPT", True),
    "greylisted-yet-354": (b"250 ok\r\n450 4.2.0 later\r\n354 go\r\n", Deferred, "RCPT", True),
    "mail": (b"452 4.3.1 full\r\n503 MAIL first\r\n503 RCPT first\r\n", Deferred, "MAIL", False),
    "mail-yet-354": (b"452 4.3.1 full\r\n503 MAIL first\r\n354 go\r\n", Deferred, "MAIL", True),
    "data": (b"250 ok\r\n250 ok\r\n451 4.3.0 later\r\n", Deferred, "DATA", False),
}


@pytest.mark.parametrize("dot_reply", [b"554 5.5.1 no valid recipients\r\n", b"250 nothing done\r\n"])
@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS.keys())
async def test_s08_after_a_refusal_the_session_goes_on_and_no_message_went_out(
    row: tuple[bytes, type, str, bool], dot_reply: bytes
) -> None:
    said, outcome, phase, dot = row
    dots: list[Turn] = [(b".\r\n", dot_reply)] if dot else []
    async with Dialogue([[(b"DATA\r\n", said), *dots, *RESET]]) as server:
        pool = only_one(server)
        told = await pool.send(envelope())
        assert type(told) is outcome
        assert told.reply.phase == phase
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [COMMANDS + b".\r\n" * dot + NEXT]
        assert pool.fault is None
        await pool.close()


#: Nothing more is said on these connections, and the verdict is the first refusal's.
BREAKS: dict[str, tuple[list[Turn], str]] = {
    "421-behind-it": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n421 4.3.2 bye\r\n")], ""),
    "garbage-behind-it": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\nwhat?\r\n")], ""),
    "closed-behind-it": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n"), (b"", None)], ""),
    "silence-behind-it": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n")], ""),
    "more-than-asked": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n503 no\r\n250 ok\r\n")], ""),
    "dot-421": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n354 go\r\n"), (b".\r\n", b"421 bye\r\n")], ".\r\n"),
    "dot-silence": ([(b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n354 go\r\n")], ".\r\n"),
}


@pytest.mark.parametrize("row", BREAKS.values(), ids=BREAKS.keys())
async def test_s11_what_breaks_behind_a_refusal_ends_the_session_and_changes_no_verdict(
    row: tuple[list[Turn], str],
) -> None:
    turns, after = row
    async with Dialogue([turns]) as server:
        pool = only_one(server, data=0.3)
        told = await pool.send(envelope())
        assert isinstance(told, Refused)
        assert told.reply.text == "5.1.1 no"
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [COMMANDS + after.encode(), MAIL]
        assert pool.fault is None
        await pool.close()


async def test_a_recipient_taken_behind_a_refused_mail_gets_no_empty_one() -> None:
    """A lone dot would be a mail there."""
    async with Dialogue([[(b"DATA\r\n", b"452 4.3.1 full\r\n250 ok\r\n354 go\r\n")]]) as server:
        pool = only_one(server)
        assert isinstance(await pool.send(envelope()), Deferred)
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [COMMANDS, MAIL]
        await pool.close()


async def test_s11_a_421_in_the_middle_is_the_relays_fault_and_nobodys_refusal() -> None:
    async with Dialogue([[(b"DATA\r\n", b"250 ok\r\n421 4.3.2 going down\r\n354 go\r\n")]]) as server:
        pool = only_one(server)
        with pytest.raises(RelayFault, match=r"at RCPT: 421 4\.3\.2"):
            await pool.send(envelope())
        assert server.heard == [COMMANDS]
        await pool.close()


async def test_s08_a_sender_refused_in_a_pipeline_is_the_relays_fault() -> None:
    async with Dialogue([[(b"DATA\r\n", b"550 5.7.1 not you\r\n503 no\r\n503 no\r\n")]]) as server:
        pool = only_one(server)
        with pytest.raises(RelayFault, match=r"at MAIL: 550 5\.7\.1 not you"):
            await pool.send(envelope())
        assert server.heard == [COMMANDS]
        await pool.close()


@pytest.mark.parametrize(
    ("said", "short", "phase"),
    [(b"250 ok\r\n", "rcpt", "RCPT"), (b"250 ok\r\n250 ok\r\n", "data", "DATA")],
)
async def test_s13_each_reply_of_a_pipeline_has_its_own_time(said: bytes, short: str, phase: str) -> None:
    """A 354 that does not come: later, and not ambiguous."""
    async with Dialogue([[(b"DATA\r\n", said)]]) as server:
        pool = only_one(server, **{short: 0.1})
        told = await pool.send(envelope())
        assert isinstance(told, Deferred)
        assert (told.reply.phase, told.reply.text, told.ambiguous) == (phase, "no answer in time", False)
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [COMMANDS, MAIL]
        await pool.close()


async def test_s16_a_relay_that_says_more_than_asked_before_the_message_does_not_get_it() -> None:
    async with Dialogue([[(b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n")]]) as server:
        pool = only_one(server)
        told = await pool.send(envelope())
        assert isinstance(told, Deferred)
        assert not told.ambiguous
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [COMMANDS, MAIL]
        await pool.close()


async def test_s16_a_second_reply_to_the_dot_is_not_the_next_messages() -> None:
    """Else the second message would be taken for sent, whatever the relay says of it."""
    twice = [ACCEPTING[0], (b"\r\n.\r\n", b"250 queued\r\n250 queued\r\n")]
    async with Dialogue([twice]) as server:
        pool = only_one(server)
        assert isinstance(await pool.send(envelope()), Sent)
        assert isinstance(await pool.send(envelope()), Sent)
        assert server.heard == [MAIL, MAIL]
        await pool.close()


async def test_the_last_look_comes_after_the_354(server: SmtpServer) -> None:
    """Not when the commands go out: between them and the message may lie minutes."""
    pool = Pool(parse_relays(server.url), sessions=1)
    server.script["data"] = [say("354 go", gate=(gate := asyncio.Event()))]
    looked = asyncio.Event()
    sending = asyncio.create_task(pool.send(envelope(), looked.set))
    await server.saw("data")
    assert not looked.is_set()
    gate.set()
    assert isinstance(await sending, Sent)
    assert looked.is_set()
    await pool.close()


def test_a_reply_is_taken_when_it_is_whole() -> None:
    buffer = bytearray()
    taken = []
    for byte in b"250-one\r\n250 two\r\n354\r\n550 5.1.1 \xff\r\n":
        buffer.append(byte)
        if (reply := take(buffer)) is not None:
            taken.append((reply.code, reply.message, bytes(buffer)))
    assert taken == [(250, "one\ntwo", b""), (354, "", b""), (550, "5.1.1 \udcff", b"")]


@pytest.mark.parametrize(
    "line", [b"\r\n", b"25\r\n", b"-25 no\r\n", b"2x0 no\r\n", b"250-a\r\nHTTP/1.1 400\r\n", b" 250 a\r\n"]
)
def test_s16_what_is_no_reply_is_an_error(line: bytes) -> None:
    with pytest.raises(SMTPResponseException, match="Malformed"):
        take(bytearray(line))
