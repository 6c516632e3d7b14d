"""`Relay access denied` for everybody is the relay's fault, and one bad recipient is not."""

import asyncio

import pytest

from kinto_notify.delivery import Refused, Reply, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.streak import ENOUGH, Streak
from support.envelopes import QUICK, envelope, persist
from support.smtp_server import SmtpServer

DENIED = Reply(554, "5.7.1 <them>: Relay access denied", "RCPT")
POLICY = Reply(550, "5.7.1 blocked by policy", "RCPT")


def told(streak: Streak, *recipients: str, reply: Reply = POLICY) -> list[bool]:
    return [streak.refused(recipient, reply) for recipient in recipients]


def people(count: int, *domains: str) -> list[str]:
    return [f"p{number}@{domains[number % len(domains)]}" for number in range(count)]


def test_enough_different_recipients_of_several_domains_are_the_relays_fault() -> None:
    streak = Streak()
    assert told(streak, *people(ENOUGH - 1, "a.example", "b.example")) == [False] * (ENOUGH - 1)
    assert told(streak, "last@a.example", "more@c.example", "p0@a.example") == [True] * 3


def test_s09_one_recipient_refused_again_and_again_is_not() -> None:
    assert not any(told(Streak(), *["ann@example.org", "Ann@Example.org"] * 20, reply=DENIED))


def test_the_policy_of_one_domain_is_not_unless_it_speaks_of_relaying() -> None:
    assert not any(told(Streak(), *people(20, "example.org")))
    assert told(Streak(), *people(ENOUGH, "example.org"), reply=DENIED)[-1]


def test_s09_unknown_mailboxes_are_not() -> None:
    unknown = Reply(550, "5.1.1 no such user", "RCPT")
    assert not any(told(Streak(), *people(20, "a.example", "b.example"), reply=unknown))


def test_a_recipient_that_was_taken_begins_the_row_anew() -> None:
    streak = Streak()
    for _ in range(5):
        assert not any(told(streak, *people(ENOUGH - 1, "a.example", "b.example")))
        streak.taken()


def test_another_kind_of_refusal_begins_the_row_anew() -> None:
    streak = Streak()
    other = Reply(550, "5.7.23 SPF", "RCPT")
    for _ in range(5):
        assert not any(told(streak, *people(ENOUGH - 1, "a.example", "b.example")))
        assert not any(told(streak, "ann@c.example", reply=other))


def test_it_keeps_no_more_recipients_than_it_needs() -> None:
    streak = Streak()
    told(streak, *people(10_000, "a.example", "b.example"))
    assert len(streak._recipients) == 2 * ENOUGH


@pytest.mark.parametrize(
    "reply", ["554 5.7.1 <x@y.example>: Relay access denied", "550 5.7.1 Relaying denied", "550 relay not permitted"]
)
async def test_a_relay_that_denies_everybody_buries_no_more(server: SmtpServer, reply: str) -> None:
    pool = Pool(parse_relays(server.url), sessions=1, timeouts=QUICK)
    server.script["rcpt"] = reply
    for number in range(ENOUGH - 1):
        assert isinstance(await pool.send(envelope(f"p{number}@d{number}.example")), Refused)
    faults = set()
    for number in range(8):
        await pool.ready()
        with pytest.raises(RelayFault) as caught:
            await pool.send(envelope(f"q{number}@d{number}.example"))
        faults.add(str(caught.value))
    # One line to act on, the same each time, with nobody's address in it.
    status = "5.7.1 " if "5.7.1" in reply else ""
    assert faults == {
        f"127.0.0.1:{server.port} at RCPT: {reply[:3]} {status}policy: 5 recipients and more in a row were refused "
        "alike; may we relay here?"
    }
    assert pool.fault in faults
    del server.script["rcpt"]
    assert isinstance(await persist(pool, envelope("q0@d0.example")), Sent)
    assert (pool.fault, len(server.mails)) == (None, 1)
    # And all is forgotten.
    assert isinstance(await pool.send(envelope("refuse-550@example.org")), Refused)
    await pool.close()


async def test_s09_bad_recipients_between_good_ones_stay_refused(server: SmtpServer, pool: Pool) -> None:
    server.script["rcpt"] = (["554 5.7.1 relay access denied"] * (ENOUGH - 1) + ["250 ok"]) * 4
    outcomes = [await pool.send(envelope(f"p{number}@d{number}.example")) for number in range(4 * ENOUGH)]
    expected = ([Refused] * (ENOUGH - 1) + [Sent]) * 4
    assert [type(outcome) for outcome in outcomes] == expected
    assert pool.fault is None


async def test_a_relay_that_denies_everybody_is_left_for_the_next() -> None:
    async with SmtpServer() as first, SmtpServer() as second:
        pool = Pool(parse_relays(f"{first.url},{second.url}"), sessions=1, timeouts=QUICK)
        first.script["rcpt"] = "550 5.7.1 Relaying denied"
        outcomes = [await pool.send(envelope(f"p{number}@d{number}.example")) for number in range(12)]
        assert [type(outcome) for outcome in outcomes] == [Refused] * (ENOUGH - 1) + [Sent] * (13 - ENOUGH)
        assert len(second.mails) == 13 - ENOUGH
        await pool.close()


async def test_ten_sessions_that_are_denied_together_bury_no_more_than_one_would(server: SmtpServer) -> None:
    pool = Pool(parse_relays(server.url), sessions=10, timeouts=QUICK)
    server.script["rcpt"] = "550 5.7.1 Relaying denied"
    sending = [pool.send(envelope(f"p{number}@d{number}.example")) for number in range(40)]
    outcomes = await asyncio.gather(*sending, return_exceptions=True)
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == ENOUGH - 1
    assert sum(isinstance(outcome, RelayFault) for outcome in outcomes) == 41 - ENOUGH
    await pool.close()
