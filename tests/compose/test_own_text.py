"""Mails of hooks that bring their own text: that text, exactly, and an HTML part around it."""

from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import MAX_BODY, Composer
from kinto_notify.digest import FrozenDigest, Line
from support.digests import HELLO, SENDER, digest
from support.mail_linter import lint

HOME = "/buckets/blog/collections/articles"
READER = Mailbox("", "ann@example.org")


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(sender=SENDER)


def saying(text: str | None, subject: str | None = "New message") -> Line:
    return replace(HELLO, subject=subject, text=text, fields=())


def parts(composer: Composer, told: FrozenDigest) -> tuple[str, str]:
    raw = composer.headers(told, READER) + composer.body(told)
    faults = lint(raw)
    assert faults == ([] if any(line.text for line in told.lines) else ["the text part is empty"])
    message = message_from_bytes(raw, policy=SMTP)
    found = [part.get_content() for part in message.iter_parts()]
    return found[0], found[1]


@pytest.mark.parametrize("text", ["Hello {not a template}\n\n  indented — é\n", "From here\n.\nthere"])
def test_the_text_part_is_the_template_and_nothing_else(composer, text):
    plain, html = parts(composer, digest(saying(text), home=HOME))
    assert plain.splitlines() == text.splitlines()
    assert "Why you get this" in html
    assert "indented" not in text or "  indented — é" in html


def test_d9_an_empty_text_is_delivered(composer):
    plain, html = parts(composer, digest(saying(""), home=HOME))
    assert plain.strip() == ""
    assert "Why you get this" in html


def test_markup_in_a_text_is_text(composer):
    _, html = parts(composer, digest(saying("<script>alert(1)</script>"), home=HOME))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_several_texts_follow_one_another_and_the_rest_is_counted(composer):
    told = digest(saying("one"), saying("two"), home=HOME)
    assert parts(composer, told)[0].splitlines() == ["one", "", "two"]
    assert composer.subject(told) == "New message"
    more = replace(told, counts={"record create": 14})
    assert parts(composer, more)[0].splitlines()[-1] == "and 12 more"


@pytest.mark.parametrize("letter", ["x ", "é", "🦊", "<"])
def test_a_text_larger_than_a_mail_is_cut(composer, letter):
    told = digest(saying(letter * 60_000), home=HOME)
    assert len(composer.body(told)) <= MAX_BODY + 2_000
    assert "[…]" in parts(composer, told)[0]
