"""The table from phase and reply to verdict (faults.md section 1's rows), and the circuit's arithmetic."""

import pytest

from kinto_notify.delivery import AMBIGUOUS_DELAY_MS, Deferred, Refused, Sent
from kinto_notify.smtp.circuit import Circuit
from kinto_notify.smtp.outcome import GARBAGE, SILENCE, Phase, RelayAtFault, judge

OPENING = (Phase.CONNECT, Phase.TLS, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.LOGIN, Phase.RSET)


@pytest.mark.parametrize("phase", OPENING)
@pytest.mark.parametrize("code", [GARBAGE, SILENCE, 250, 421, 454, 535, 554, 999])
def test_whatever_fails_before_mail_is_the_relays_fault(phase: Phase, code: int) -> None:
    assert isinstance(judge(phase, code, "no"), RelayAtFault)


@pytest.mark.parametrize(
    ("phase", "code", "text", "verdict"),
    [
        (Phase.MAIL, 421, "", RelayAtFault),
        (Phase.MAIL, SILENCE, "", RelayAtFault),
        (Phase.MAIL, 550, "5.7.1 sender refused", RelayAtFault),
        (Phase.MAIL, 553, "", RelayAtFault),
        (Phase.MAIL, 530, "5.7.0 log in first", RelayAtFault),
        (Phase.MAIL, 503, "5.5.1 EHLO first", RelayAtFault),
        (Phase.MAIL, 552, "too big", Refused),
        (Phase.MAIL, 554, "5.3.4 too big", Refused),
        (Phase.MAIL, 550, "5.6.7 no SMTPUTF8", Refused),
        (Phase.MAIL, 450, "4.7.1 later", Deferred),
        (Phase.MAIL, 452, "4.3.1 full", Deferred),
        (Phase.MAIL, 354, "what?", Deferred),
        (Phase.MAIL, 999, "", Deferred),
        (Phase.MAIL, GARBAGE, "", Deferred),
        (Phase.RCPT, 421, "", RelayAtFault),
        (Phase.RCPT, 530, "", RelayAtFault),
        (Phase.RCPT, 450, "4.2.0 greylisted", Deferred),
        (Phase.RCPT, 454, "4.7.0 rate exceeded", Deferred),
        (Phase.RCPT, 550, "5.1.1 no such user", Refused),
        (Phase.RCPT, 552, "5.2.2 mailbox full", Refused),
        (Phase.RCPT, 599, "", Refused),
        (Phase.RCPT, 503, "5.5.1 MAIL first", Deferred),
        (Phase.RCPT, SILENCE, "", Deferred),
        (Phase.RCPT, GARBAGE, "", Deferred),
        (Phase.DATA, 421, "", RelayAtFault),
        (Phase.DATA, 451, "", Deferred),
        (Phase.DATA, 554, "", Refused),
        (Phase.DATA, 250, "", Deferred),
        (Phase.DATA, SILENCE, "", Deferred),
        (Phase.BODY, SILENCE, "", Deferred),
        (Phase.DOT, 250, "", Sent),
        (Phase.DOT, 299, "", Sent),
        (Phase.DOT, 421, "", Deferred),
        (Phase.DOT, 451, "", Deferred),
        (Phase.DOT, 535, "", Refused),
        (Phase.DOT, 552, "", Refused),
        (Phase.DOT, 554, "", Refused),
    ],
)
def test_the_table(phase: Phase, code: int, text: str, verdict: type) -> None:
    told = judge(phase, code, text)
    assert type(told) is verdict
    assert (told.reply.code, told.reply.phase) == (max(code, 0), phase)
    assert not (isinstance(told, Deferred) and told.ambiguous)


@pytest.mark.parametrize("code", [SILENCE, GARBAGE, 100, 354, 600, 999])
def test_s12_no_reply_to_the_dot_is_ambiguous(code: int) -> None:
    told = judge(Phase.DOT, code, "")
    assert isinstance(told, Deferred)
    assert (told.ambiguous, told.not_before) == (True, AMBIGUOUS_DELAY_MS)


def test_what_a_server_says_becomes_one_clean_line() -> None:
    told = judge(Phase.RCPT, 550, "5.1.1 no\r\nsuch\x1b[31m \udcff user " + "x" * 1_000_000)
    assert told.reply.text.startswith("5.1.1 no such�[31m � user xxx")
    assert len(told.reply.text) <= 500
    told.reply.text.encode()


def test_a_circuit_opens_longer_each_time_and_closes_on_success() -> None:
    circuit = Circuit(1.0, 60.0)
    now, pauses = 100.0, []
    for _ in range(10):
        assert circuit.admits(now)
        assert circuit.fail(now, begun=now, fault="down", jitter=0.999999)
        assert not circuit.admits(now)
        pauses.append(round(circuit.until - now))
        now = circuit.until
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    circuit.succeed()
    assert (circuit.healthy, circuit.fault) == (True, None)
    assert circuit.fail(now, begun=now, fault="down again", jitter=0.0)
    assert circuit.until - now == 0.75


def test_sessions_that_die_together_are_one_fault() -> None:
    circuit = Circuit(1.0, 60.0)
    assert circuit.fail(10.0, begun=5.0, fault="one", jitter=0.5)
    until = circuit.until
    assert not circuit.fail(10.5, begun=5.0, fault="two", jitter=0.5)
    assert not circuit.fail(until + 9, begun=9.0, fault="three", jitter=0.5)
    assert (circuit.failures, circuit.until, circuit.fault) == (1, until, "three")


def test_an_open_circuit_admits_one_trial_at_a_time() -> None:
    circuit = Circuit(1.0, 60.0)
    circuit.fail(10.0, begun=10.0, fault="down", jitter=0.5)
    with circuit.trial(20.0, patience=5.0):
        assert not circuit.admits(24.9)
        # What gets no answer for so long may be one message: the next may try.
        assert circuit.next_trial == 25.0
        assert circuit.admits(25.0)
        with circuit.trial(25.0, patience=5.0):
            assert not circuit.admits(29.9)
    assert circuit.admits(20.0)
    circuit.succeed()
    with circuit.trial(30.0, patience=5.0):
        assert circuit.admits(10.0)


def test_a_weekend_of_outage_does_not_overflow() -> None:
    circuit = Circuit(1.0, 60.0)
    circuit.failures = 5000
    circuit.fail(10.0, begun=10.0, fault="down", jitter=1.0)
    assert circuit.until == 70.0
