"""Header fields: whatever the text, one field, literally shown (C01 to C05)."""

import re
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kinto_notify.address import Mailbox
from kinto_notify.compose import headers
from kinto_notify.compose.list_id import list_id
from kinto_notify.compose.plain import one_line
from support.mail_linter import parse

#: Everything a Python string can hold, lone surrogates and controls too.
ANY_TEXT = st.text(st.characters(), max_size=400)
BREAKS = ["\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def fields(raw: bytes) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in parse(raw + b"\r\n").items()]


def lines_are_good(raw: bytes) -> None:
    assert raw.endswith(b"\r\n")
    assert raw.isascii()
    for line in raw[:-2].split(b"\r\n"):
        assert len(line) <= (76 if b"=?" in line else 78), line
        assert line.strip(), raw


@given(ANY_TEXT)
@example("=?utf-8?q?a=0D=0ABcc:_evil@example.org?=")
@example("=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5vcmc=?=")
@example("é" * 300)
@example("x" * 500)
@example("👩‍👩‍👧" * 60)
@example("a =?b c?= d")
def test_any_text_is_one_field_and_shown_literally(text):
    """C01, C02: on every Python that we support."""
    raw = headers.unstructured("Subject", text)
    lines_are_good(raw)
    [(name, shown)] = fields(raw)
    assert name == "Subject"
    assert shown == one_line(text)


@pytest.mark.parametrize("char", BREAKS)
def test_c02_a_line_break_of_any_kind_is_a_blank(char):
    assert fields(headers.unstructured("Subject", f"one{char}Bcc: evil@example.org")) == [
        ("Subject", "one Bcc: evil@example.org")
    ]


@given(ANY_TEXT)
@example('"a\\" <evil@x.example>, \\""')
@example("a, b <evil@x.example>")
@example("x" * 300)
@example("\u202egro.elpmaxe@live")
@example("=?utf-8?q?evil=40x.example=2C?=")
@example("Dr. Ü, (Jr.)")
@example('"')
def test_c03_a_display_name_never_makes_a_second_mailbox(name):
    raw = headers.mailbox("To", Mailbox(name, "reader@example.org"))
    lines_are_good(raw)
    [field] = parse(raw + b"\r\n").items()
    assert [one.addr_spec for one in field[1].addresses] == ["reader@example.org"]
    assert field[1].defects == ()
    shown = field[1].addresses[0].display_name
    # That reader puts a blank between encoded words of a display name (it should not: RFC 2047 6.2) ...
    if name:
        assert "".join(shown.split()) == "".join((one_line(name, 128) or '""').split())
    # ... and the older one does not.
    if b"=?" in raw:
        value = raw.decode().partition(": ")[2].replace("\r\n", "")
        assert str(make_header(decode_header(value))).strip() == f"{one_line(name, 128)} <reader@example.org>"
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", shown)


def test_a_plain_name_stays_readable():
    assert headers.mailbox("To", Mailbox("Ann Editor", "a@example.org")) == b"To: Ann Editor <a@example.org>\r\n"
    assert headers.mailbox("To", Mailbox("Editor, Ann", "a@example.org")) == b'To: "Editor, Ann" <a@example.org>\r\n'
    assert headers.mailbox("To", Mailbox("", "a@example.org")) == b"To: a@example.org\r\n"
    assert headers.mailbox("To", Mailbox("José", "a@example.org")) == b"To: =?utf-8?q?Jos=C3=A9?= <a@example.org>\r\n"


def test_c04_a_local_part_beyond_ascii_is_raw_utf8_as_smtputf8_wants_it():
    assert headers.mailbox("To", Mailbox("", "josé@example.org")) == "To: josé@example.org\r\n".encode()


@pytest.mark.parametrize(
    "address",
    [
        "a@x\r\nBcc: b@y",
        "a@x.org, b@y.org",
        "a b@x.org",
        "a@x.org\n",
        "<a@x.org>",
        "a@@x.org",
        "a",
        "",
        '"a"@x.org',
        "a@bü.de",
        "=?utf-8?q?a?=@x.org",
        "a(b)@x.org",
        "a;b@x.org",
    ],
)
def test_c05_what_is_no_address_never_reaches_a_header(address):
    with pytest.raises(ValueError, match="no mail address"):
        headers.mailbox("To", Mailbox("", address))


def test_our_own_tokens_are_checked_too():
    with pytest.raises(ValueError, match="no token"):
        headers.tokens("References", "<a@b>\r\nBcc:")
    with pytest.raises(ValueError, match="no field name"):
        headers.unstructured("Subject:\r\nBcc", "x")


@given(ANY_TEXT, ANY_TEXT)
def test_any_subscription_has_a_well_formed_list_id(home, name):
    assert re.fullmatch(r"<([a-z0-9_-]{1,32}\.)+kinto-notify\.example\.org>", list_id(home, name, "example.org"))


def test_list_ids_of_different_subscriptions_differ():
    hook = "/buckets/blog/collections/articles"
    assert list_id("file", "articles", "x.org") == "<articles.kinto-notify.x.org>"
    assert list_id(hook, "0", "x.org") == "<0.articles.blog.kinto-notify.x.org>"
    names = ["Articles", "articles", "articles!", "ártícles", "a" * 40, "a" * 41]
    ids = {list_id("file", name, "x.org").lower() for name in names}
    assert len(ids) == len(names)
