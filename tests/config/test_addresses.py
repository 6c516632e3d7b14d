"""Addresses: one mailbox or a reason why not; what passes is fit for a header and for the wire (C03 to C05)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.compose.headers import check_address, mailbox
from kinto_notify.smtp.commands import _UNSAFE

NOT_ONE = [
    "",
    " ",
    "b",
    "@example.org",
    "b@",
    "b@x@example.org",
    "b@example.org, c@example.org",
    "b@example.org c@example.org",
    "b@example.org\n",
    "b@example.org\r\nBcc: c@example.org",
    "b\t@example.org",
    "b@exam\x00ple.org",
    "b(comment)@example.org",
    '"quoted local"@example.org',
    "b@[127.0.0.1]",
    "b@example..org",
    "b@-example.org",
    "b@example.org>",
    "<b@example.org",
    "<b@example.org> <c@example.org>",
    "B <b@example.org> c",
    "Bob <>",
    "Bob <b@example.org\r\n>",
    "=?utf-8?q?b?=@example.org",
    "=?b@example.org",
    f"b@{'x' * 64}.example.org",
    f"b@{'x.' * 150}org",
    f"{'n' * 200} <b@example.org>",
]
GOOD = {
    "b@example.org": Mailbox("", "b@example.org"),
    " b@example.org ": Mailbox("", "b@example.org"),
    "B. Ob <b+tag@example.org>": Mailbox("B. Ob", "b+tag@example.org"),
    '"Doe, Jane" <j@example.org>': Mailbox("Doe, Jane", "j@example.org"),
    '"a\\" b" <j@example.org>': Mailbox('a" b', "j@example.org"),
    "b@bücher.example": Mailbox("", "b@xn--bcher-kva.example"),
    "josé@example.org": Mailbox("", "josé@example.org"),
    "root@localhost": Mailbox("", "root@localhost"),
}


@pytest.mark.parametrize("text", NOT_ONE)
def test_c05_what_is_not_one_address_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_mailbox(text)


@pytest.mark.parametrize("text", GOOD)
def test_c04_what_passes(text: str) -> None:
    assert parse_mailbox(text) == GOOD[text]
    assert parse_mailbox(text).smtputf8 is ("josé" in text)


@settings(deadline=None)
@given(st.text(max_size=20), st.text(st.sampled_from("abé.=?+-_!#$%&'*/^`{|}~<>()[],;:\\\"@ \n\x00"), max_size=20))
def test_whatever_passes_is_taken_by_headers_and_by_the_wire(name: str, local: str) -> None:
    """Else one address would bury the digest of all its recipients."""
    try:
        found = parse_mailbox(f"{name} <{local}@example.org>")
    except ValueError:
        return
    check_address(found.address)
    field = mailbox("To", found)
    assert field.count(b"\r\n") == field.count(b"\r\n ") + 1
    assert not _UNSAFE.search(found.address)
