"""RFC 2920 3.1: the next message is announced behind the dot of the one before, and whatever happens to either of the
two, the other one ends right."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from kinto_notify.delivery import Deferred, Envelope, Outcome, Refused, Sent
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from support.smtp_dialogue import Dialogue, Turn

OK = b"250 ok\r\n250 ok\r\n354 go\r\n"
#: The first message's commands alone; then its body and the commands of the second; then the body of that.
FIRST: Turn = (b"DATA\r\n", OK)
LAST: Turn = (b"\r\n.\r\n", b"250 queued\r\n")


def message(name: str) -> Envelope:
    return Envelope("bounces@example.org", f"{name}@example.org", f"Subject: {name}\r\n\r\n{name}\r\n".encode())


def commands(name: str) -> bytes:
    return f"MAIL FROM:<bounces@example.org>\r\nRCPT TO:<{name}@example.org>\r\nDATA\r\n".encode()


def body(name: str) -> bytes:
    return message(name).message + b".\r\n"


def whole(name: str) -> bytes:
    return commands(name) + body(name)


def both(replies: bytes) -> Turn:
    """What the server says when it has the first message and the commands of the second."""
    return (b"DATA\r\n", replies)


def only_one(server: Dialogue, **short: float) -> Pool:
    return Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(pause_least=0.01, quit=0.2, **short))


async def send_all(pool: Pool, *names: str, look: Callable[[str], None] = lambda _: None) -> list[Outcome]:
    """Bring all at once; where there is one session the others wait for it, in this order."""
    return await asyncio.gather(*(pool.send(message(name), lambda name=name: look(name)) for name in names))  # type: ignore[misc]


@pytest.mark.parametrize("bytewise", [False, True])
async def test_one_write_and_one_read_a_message(bytewise: bool) -> None:
    """The server says nothing of a message before it has heard the next one's DATA; then all in one, or in crumbs."""
    between = both(b"250 queued\r\n" + OK)
    async with Dialogue([[FIRST, between, between, LAST]], bytewise=bytewise) as server:
        pool = only_one(server)
        outcomes = await send_all(pool, "ann", "bob", "eve")
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        assert server.heard == [whole("ann") + whole("bob") + whole("eve")]
        assert (pool.free, pool.fault) == (1, None)
        await pool.close()


async def test_nothing_is_announced_where_nobody_waits() -> None:
    async with Dialogue([[FIRST, LAST, FIRST, LAST]]) as server:
        pool = only_one(server)
        for name in ("ann", "bob"):
            assert isinstance(await pool.send(message(name)), Sent)
        assert server.heard == [whole("ann") + whole("bob")]
        await pool.close()


@pytest.mark.parametrize(
    ("reply", "outcome"), [(b"451 4.3.0 later\r\n", Deferred), (b"554-5.6.0 no\r\n554 5.6.0 never\r\n", Refused)]
)
async def test_s08_a_dot_that_is_refused_leaves_the_next_message_alone(reply: bytes, outcome: type) -> None:
    async with Dialogue([[FIRST, both(reply + OK), LAST]]) as server:
        pool = only_one(server)
        first, second = await send_all(pool, "ann", "bob")
        assert type(first) is outcome
        assert isinstance(second, Sent)
        assert server.heard == [whole("ann") + whole("bob")]
        await pool.close()


async def test_s11_a_421_at_the_dot_sets_the_announced_one_free() -> None:
    """Not another word is said on that connection; the second message goes over a new one, whole."""
    async with Dialogue([[FIRST, both(b"421 4.3.2 going down\r\n")]]) as server:
        pool = only_one(server)
        first, second = await send_all(pool, "ann", "bob")
        assert isinstance(first, Deferred)
        assert not first.ambiguous
        assert isinstance(second, Sent)
        assert server.heard == [whole("ann") + commands("bob"), whole("bob")]
        assert pool.fault is None
        await pool.close()


#: What the server says to MAIL, RCPT and DATA of the second message where it then says no more.
LOST = {
    "421-at-mail": b"421 4.7.0 too many messages\r\n",
    "421-at-rcpt": b"250 ok\r\n421 4.3.2 going down\r\n",
    "421-at-data": b"250 ok\r\n250 ok\r\n421 4.3.2 going down\r\n",
    "refused-sender": b"550 5.7.1 not behind a dot\r\n503 no\r\n503 no\r\n",
    "garbage-at-mail": b"what?\r\n",
    "garbage-at-data": b"250 ok\r\n250 ok\r\nwhat?\r\n",
    "silence-at-mail": b"",
    "silence-at-rcpt": b"250 ok\r\n",
    "silence-at-data": b"250 ok\r\n250 ok\r\n",
    "a-second-reply-to-the-dot": b"250 queued\r\n" + OK,
}


@pytest.mark.parametrize("closes", [True, False], ids=["and-closes", "and-stays"])
@pytest.mark.parametrize("said", LOST.values(), ids=LOST.keys())
async def test_s11_s16_an_announced_message_without_an_answer_is_sent_alone(said: bytes, closes: bool) -> None:
    """It has not left us, so that nothing is ambiguous, nothing is deferred, and no relay is at fault."""
    end: list[Turn] = [(b"", None)] if closes else []
    looks: list[str] = []
    async with Dialogue([[FIRST, both(b"250 queued\r\n" + said), *end]]) as server:
        pool = only_one(server, stall=0.2, rcpt=0.2, data=0.2)
        first, second = await send_all(pool, "ann", "bob", look=looks.append)
        assert isinstance(first, Sent)
        assert isinstance(second, Sent)
        assert server.heard == [whole("ann") + commands("bob"), whole("bob")]
        assert looks == ["ann", "bob"]
        assert (pool.free, pool.fault) == (1, None)
        await pool.close()


async def test_a_relay_that_takes_no_announcement_gets_no_fourth_one() -> None:
    """It closes at what stands behind the dot. From then on each message is announced when the one before is done."""
    closes: list[Turn] = [FIRST, both(b"250 queued\r\n"), (b"", None)]
    names = [f"r{number}" for number in range(8)]
    async with Dialogue([closes] * 3) as server:
        pool = only_one(server)
        outcomes = await send_all(pool, *names)
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        vain = [whole(name) + commands(following) for name, following in pairwise(names[:4])]
        assert server.heard == [*vain, b"".join(map(whole, names[3:]))]
        assert (pool.free, pool.fault) == (1, None)
        await pool.close()


#: What is said to MAIL, RCPT and DATA of the second; what that means, at which phase; whether a lone dot follows.
REFUSALS = {
    "rcpt-and-data": (b"250 ok\r\n550 5.1.1 no\r\n554 5.5.1 none\r\n", Refused, "RCPT", False),
    "rcpt-yet-354": (b"250 ok\r\n450 4.2.0 later\r\n354 go\r\n", Deferred, "RCPT", True),
    "mail": (b"452 4.3.1 full\r\n503 MAIL first\r\n503 RCPT first\r\n", Deferred, "MAIL", False),
    "data": (b"250 ok\r\n250 ok\r\n451 4.3.0 later\r\n", Deferred, "DATA", False),
}


@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS.keys())
async def test_s09_an_announced_message_is_refused_alone(row: tuple[bytes, type, str, bool]) -> None:
    """The session goes on with RSET; no byte of the refused message went out."""
    said, outcome, phase, dot = row
    dots: list[Turn] = [(b".\r\n", b"554 5.5.1 no valid recipients\r\n")] if dot else []
    again: Turn = (b"DATA\r\n", b"250 clean\r\n" + OK)
    async with Dialogue([[FIRST, both(b"250 queued\r\n" + said), *dots, again, LAST]]) as server:
        pool = only_one(server)
        first, second, third = await send_all(pool, "ann", "bob", "eve")
        assert isinstance(first, Sent)
        assert type(second) is outcome
        assert second.reply.phase == phase
        assert isinstance(third, Sent)
        assert server.heard == [whole("ann") + commands("bob") + b".\r\n" * dot + b"RSET\r\n" + whole("eve")]
        assert pool.fault is None
        await pool.close()


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "silent"])
async def test_s12_s13_no_reply_to_the_dot_is_ambiguous_for_one_message_only(closes: bool) -> None:
    end: list[Turn] = [(b"DATA\r\n", None)] if closes else []
    looks: list[str] = []
    async with Dialogue([[FIRST, *end]]) as server:
        pool = only_one(server, dot=0.2)
        first, second = await send_all(pool, "ann", "bob", look=looks.append)
        assert isinstance(first, Deferred)
        assert first.ambiguous
        assert isinstance(second, Sent)
        assert server.heard == [whole("ann") + commands("bob"), whole("bob")]
        assert looks == ["ann", "bob"]
        await pool.close()


async def test_a_message_longer_than_a_block_announces_none() -> None:
    async with Dialogue([[FIRST, LAST, FIRST, LAST]]) as server:
        pool = only_one(server)
        long = Envelope("bounces@example.org", "ann@example.org", b"Subject: long\r\n\r\n" + b"x" * 70_000 + b"\r\n")
        outcomes = await asyncio.gather(pool.send(long), pool.send(message("bob")))
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        assert server.heard == [commands("ann") + long.message + b".\r\n" + whole("bob")]
        await pool.close()


async def test_what_the_relay_could_never_take_is_not_announced() -> None:
    async with Dialogue([[FIRST, LAST]]) as server:
        pool = only_one(server)
        first, second = await send_all(pool, "ann", "bob> SIZE=1")
        assert isinstance(first, Sent)
        assert isinstance(second, Refused)
        assert second.reply.text.startswith("5.1.3")
        assert server.heard == [whole("ann")]
        await pool.close()


class Withheld(Exception):
    pass


def veto() -> None:
    raise Withheld


async def test_a_veto_before_the_announcement_costs_nothing() -> None:
    """The one that comes next is announced in its place."""
    async with Dialogue([[FIRST, both(b"250 queued\r\n" + OK), LAST]]) as server:
        pool = only_one(server)
        first, vetoed, third = await asyncio.gather(
            pool.send(message("ann")),
            pool.send(message("bob"), before_mail=veto),
            pool.send(message("eve")),
            return_exceptions=True,
        )
        assert isinstance(first, Sent)
        assert isinstance(vetoed, Withheld)
        assert isinstance(third, Sent)
        assert server.heard == [whole("ann") + whole("eve")]
        await pool.close()


async def test_a_veto_after_the_announcement_sends_nothing_and_ends_the_session() -> None:
    """The relay waits for the message with a 354; nothing may follow."""
    async with Dialogue([[FIRST, both(b"250 queued\r\n" + OK)]]) as server:
        pool = only_one(server)
        first, vetoed, third = await asyncio.gather(
            pool.send(message("ann")),
            pool.send(message("bob"), veto),
            pool.send(message("eve")),
            return_exceptions=True,
        )
        assert isinstance(first, Sent)
        assert isinstance(vetoed, Withheld)
        assert isinstance(third, Sent)
        assert server.heard == [whole("ann") + commands("bob"), whole("eve")]
        assert (pool.free, pool.fault) == (1, None)
        await pool.close()
