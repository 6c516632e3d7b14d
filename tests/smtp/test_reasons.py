"""What a refusal is about, as servers in the wild word it; the class of the reply is `test_outcome.py`'s."""

import pytest

from kinto_notify.delivery import Deferred, Refused, Reply, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.outcome import Phase, RelayAtFault, judge
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.reasons import crowded, of_policy
from support.envelopes import MESSAGE, envelope, persist
from support.smtp_server import SmtpServer, say


@pytest.mark.parametrize(
    ("phase", "code", "text", "expected"),
    [
        (Phase.MAIL, 552, "message size exceeds fixed maximum message size", True),
        (Phase.MAIL, 552, "5.3.4 Message too big for system", True),
        (Phase.RCPT, 552, "5.2.3 too long for this mailbox", True),
        (Phase.DOT, 552, "5.2.3 Your message exceeded our limits", True),
        (Phase.DOT, 554, "5.3.4 too big", True),
        (Phase.DOT, 552, "", True),
        (Phase.DOT, 552, "5.7.0 This message was blocked because of its content", False),
        (Phase.RCPT, 552, "5.2.2 mailbox full", False),
        (Phase.DOT, 554, "5.7.1 spam", False),
    ],
)
def test_s10_a_refusal_for_the_size_is_told_apart(phase: Phase, code: int, text: str, expected: bool) -> None:
    told = judge(phase, code, text)
    assert isinstance(told, Refused)
    assert told.too_big is expected


@pytest.mark.parametrize(
    ("phase", "code", "text", "expected"),
    [
        (Phase.RCPT, 550, "5.1.1 <ann@example.org>: user unknown", True),
        (Phase.RCPT, 554, "5.1.1 no such user", True),
        (Phase.RCPT, 550, "5.1.10 RESOLVER.ADR.RecipientNotFound", True),
        (Phase.DOT, 550, "5.1.1 no such user", True),
        (Phase.RCPT, 550, "no such user here", True),
        (Phase.RCPT, 550, "", True),
        (Phase.RCPT, 550, "relay not permitted", False),
        (Phase.RCPT, 550, "blocked, see https://example.org", False),
        (Phase.RCPT, 550, "5.7.1 Relaying denied", False),
        (Phase.RCPT, 551, "user not local", False),
        (Phase.RCPT, 552, "5.2.2 mailbox full", False),
        (Phase.DOT, 550, "content refused", False),
        (Phase.DATA, 550, "no", False),
    ],
)
def test_s09_an_unknown_mailbox_is_told_apart(phase: Phase, code: int, text: str, expected: bool) -> None:
    told = judge(phase, code, text)
    assert isinstance(told, Refused)
    assert told.unknown_mailbox is expected


@pytest.mark.parametrize(
    ("phase", "code", "text", "expected"),
    [
        (Phase.MAIL, 454, "4.7.0 slow down", True),
        (Phase.DOT, 454, "Throttling failure: Maximum sending rate exceeded.", True),
        (Phase.DOT, 450, "4.7.28 unusual rate of mail", True),
        (Phase.DOT, 421, "4.7.0 our system has detected an unusual rate of unsolicited mail", True),
        (Phase.RCPT, 451, "4.7.500 Server busy. Please try again later", True),
        (Phase.RCPT, 452, "4.5.3 too many recipients this hour", True),
        (Phase.RCPT, 450, "4.2.1 receiving mail at a rate that prevents more", False),
        (Phase.RCPT, 450, "4.2.0 greylisted", False),
        (Phase.RCPT, 451, "4.7.1 Greylisting in action", False),
        (Phase.RCPT, 452, "4.2.2 over quota", False),
        (Phase.DOT, 451, "4.3.0 moderate trouble", False),
        (Phase.DOT, 452, "4.3.2 too many concurrent connections", False),
    ],
)
def test_s15_a_throttle_is_told_apart(phase: Phase, code: int, text: str, expected: bool) -> None:
    told = judge(phase, code, text)
    assert isinstance(told, Deferred)
    assert told.throttled is expected


@pytest.mark.parametrize(
    ("phase", "code", "text", "expected"),
    [
        (Phase.MAIL, 421, "4.7.0 sending rate exceeded", True),
        (Phase.MAIL, 421, "4.3.2 going down", False),
        (Phase.GREETING, 421, "4.7.0 too many connections", False),
        (Phase.LOGIN, 454, "4.7.0 too many logins", False),
    ],
)
def test_s15_a_relay_that_closes_for_the_rate_is_told_apart(phase: Phase, code: int, text: str, expected: bool) -> None:
    told = judge(phase, code, text)
    assert isinstance(told, RelayAtFault)
    assert told.throttled is expected


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (421, "4.7.0 mx.example.org Error: too many connections from 192.0.2.1", True),
        (421, "Too many concurrent SMTP connections; please try again later.", True),
        (421, "4.3.2 Service not available, concurrent connections limit exceeded", True),
        (451, "4.7.0 connection limit reached", True),
        (421, "4.7.0 too many messages in this session", False),
        (421, "4.3.2 going down", False),
        (550, "too many connections", False),
    ],
)
def test_s14_too_many_connections_are_told_apart(code: int, text: str, expected: bool) -> None:
    assert crowded(Reply(code, text, Phase.GREETING)) is expected


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (554, "5.7.1 <ann@example.org>: Relay access denied", True),
        (550, "5.7.1 Relaying denied", True),
        (550, "relay not permitted", True),
        (553, "sorry, that domain isn't in my list of allowed rcpthosts", True),
        (550, "5.1.1 access denied", False),
        (550, "no such user", False),
    ],
)
def test_policy_is_told_apart(code: int, text: str, expected: bool) -> None:
    assert of_policy(Reply(code, text, Phase.RCPT)) is expected


async def test_s09_s10_s15_outcomes_say_what_a_refusal_is_about(server: SmtpServer, pool: Pool) -> None:
    server.script["rcpt"] = ["550 5.1.1 unknown"]
    unknown = await pool.send(envelope())
    assert unknown == Refused(unknown.reply, unknown_mailbox=True)
    server.script["dot"] = ["552 5.3.4 too big", "454 4.7.0 slow down"]
    big = await pool.send(envelope())
    assert big == Refused(big.reply, too_big=True)
    fast = await pool.send(envelope())
    assert fast == Deferred(fast.reply, throttled=True)
    server.script["mail"] = [say("421 4.7.0 rate exceeded", close=True)] * 2
    with pytest.raises(RelayFault) as caught:
        await pool.send(envelope())
    assert caught.value.throttled
    assert isinstance(await persist(pool, envelope()), Sent)


async def test_s10_a_message_beyond_the_size_on_offer_is_too_big_before_it_is_sent() -> None:
    async with SmtpServer(extensions=("SIZE 100",)) as server:
        pool = Pool(parse_relays(server.url), sessions=1)
        told = await pool.send(envelope(message=MESSAGE * 3))
        assert isinstance(told, Refused)
        assert told.too_big
        assert server.reached["mail"] == 0
        await pool.close()
