"""What the operator is told by mail: when it is due, and what it says; pure, and composed like every mail."""

from collections import Counter

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.compose.notice import NoticeComposer, subject
from kinto_notify.intake import TOO_OLD
from kinto_notify.notice import EVERY_MS, GATHER_MS, Found, Notice, Outage, decide, plain_reason
from support.mail_linter import lint, parse

NOW = 1_800_000_000_000
MINUTE = 60_000


def found(dead: int = 0, age: int = 2 * MINUTE, last: int = 0, outages: tuple[Outage, ...] = ()) -> Found:
    reasons = Counter({"550 5.1.1 at RCPT": dead} if dead else {})
    return Found(last, NOW - EVERY_MS, reasons, NOW - age if dead else None, 0, outages)


def outage(opened: int, closed: int | None = None) -> Outage:
    """One whose circuit opened and closed so many milliseconds ago."""
    ended = None if closed is None else NOW - closed
    return Outage("one", "smtp://relay.example.org:25", NOW - opened, "535 5.7.8 no (at login)", ended)


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        (found(), False),
        (found(dead=1), True),
        (found(dead=1, age=GATHER_MS - 1), False),
        (found(dead=9, last=NOW - EVERY_MS + 1), False),
        (found(dead=9, last=NOW - EVERY_MS), True),
        (found(outages=(outage(MINUTE),)), True),
        (found(outages=(outage(MINUTE - 1),)), False),
        (found(outages=(outage(9 * MINUTE, 8 * MINUTE + 1),)), False),
        (found(outages=(outage(9 * MINUTE, 8 * MINUTE),)), True),
        (found(last=NOW - 70 * MINUTE, outages=(outage(75 * MINUTE),)), False),
        (found(last=NOW - 70 * MINUTE, outages=(outage(75 * MINUTE, MINUTE),)), True),
        (found(last=NOW - 70 * MINUTE, outages=(outage(70 * MINUTE + 1),)), True),
    ],
)
def test_when_a_notice_is_due(seen: Found, due: bool) -> None:
    """At most hourly; an outage that goes on is told of once, and its end once."""
    assert (decide(seen, (), NOW) is not None) == due


def test_a_hook_that_was_switched_off_is_told_at_once_but_hourly() -> None:
    assert decide(found(), {"/buckets/b#0"}, NOW) is not None
    assert decide(found(last=NOW - EVERY_MS + 1), {"/buckets/b#0"}, NOW) is None


@pytest.mark.parametrize(
    ("kind", "reason", "plain"),
    [
        ("delivery", "550 5.1.1 <ann@example.org>: user unknown (at RCPT)", "550 5.1.1 at RCPT"),
        ("delivery", "554 go away, ann@example.org (at final dot)", "554 at final dot"),
        ("delivery", "given up after 259200 s; last reply: 450 4.2.0 ann@example.org (at RCPT)", "given up as too old"),
        ("delivery", "its body is not in Redis any more", "other"),
        ("delivery", "550 secret (at ann@example.org)", "other"),
        ("entry", TOO_OLD, "too old to be news"),
        ("entry", "data.children.secret: Input should be a valid integer", "an entry that cannot be read"),
        ("digest", "cannot be composed: LookupError", "a digest that cannot be composed"),
    ],
)
def test_a_reason_says_nothing_of_an_address_or_a_record(kind: str, reason: str, plain: str) -> None:
    assert plain_reason(kind, reason) == plain


FULL = Notice(
    NOW,
    NOW - EVERY_MS,
    (("550 5.1.1 at RCPT", 1_200), ("given up as too old", 1)),
    7,
    (outage(9 * MINUTE, MINUTE), outage(3 * MINUTE)),
    ("/buckets/blog/collections/articles#0",),
)


def mail(notice: Notice) -> bytes:
    composer = NoticeComposer(Mailbox("Kinto", "kinto@example.org"), Mailbox("Ops", "ops@example.org"))
    own, shared = composer.compose(notice)
    assert (own, shared) == composer.compose(notice), "the same at every call"
    return own + shared


@pytest.mark.parametrize(
    "notice",
    [
        FULL,
        Notice(NOW, NOW, (("other", 1),), 0, (), ()),
        Notice(NOW, NOW, (), 0, (outage(MINUTE),), ()),
        Notice(NOW, NOW, (), 0, (), ("/buckets/\x1b[2J\u202e#" + "x" * 500,) * 200),
        Notice(NOW, NOW, (), 0, (Outage("d\r\nBcc: x@y", "r", 1, "\r\nX: y" + "z" * 9_000, 2),) * 99, ()),
    ],
)
def test_it_is_a_mail_like_every_other(notice: Notice) -> None:
    assert lint(mail(notice)) == []


def test_what_it_says() -> None:
    parsed = parse(mail(FULL))
    assert parsed["Subject"] == "[kinto-notify] 1,208 dead letters, a mail relay can't be used, 1 hook switched off"
    assert (parsed["To"], parsed["Auto-Submitted"]) == ("Ops <ops@example.org>", "auto-generated")
    for part in parsed.iter_parts():
        text = " ".join(str(part.get_content()).split())
        for told in (
            "1,200",
            "550 5.1.1 at RCPT",
            "given up as too old",
            "was not used from 2027-01-15 07:51:00 UTC to 2027-01-15 07:59:00 UTC",
            "is not used since 2027-01-15 07:57:00 UTC",
            "535 5.7.8 no (at login)",
            "/buckets/blog/collections/articles#0",
        ):
            assert told in text


def test_one_of_each_is_not_plural() -> None:
    over = Notice(NOW, NOW, (("other", 1),), 0, (outage(9 * MINUTE, MINUTE),), ("a#0", "b#0"))
    assert subject(over) == "[kinto-notify] 1 dead letter, a mail relay could not be used, 2 hooks switched off"
