"""The links of recipients in a mail: headers of RFC 8058, a link in both parts, one body for all."""

import re
from dataclasses import replace

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.compose import mime
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.headers import for_summary
from kinto_notify.compose.sample import LINES, sample_digest
from kinto_notify.compose.slot import filled, slot
from kinto_notify.digest import FrozenDigest
from kinto_notify.inbox_link import InboxLinks, Right
from kinto_notify.wish import subscription_key
from support.digests import HELLO, READER, SENDER, digest, message
from support.mail_linter import lint, parse

LINKS = InboxLinks("https://notify.example.org", "kinto-notify", ("0123456789abcdef",))
BEN = Mailbox("Bén", "ben@example.org")
CYRILLIC = replace(HELLO, title="Всё о кошках " * 8)
KANJI = replace(HELLO, title="猫についてのすべて" * 12)


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(sender=SENDER, links=LINKS)


def parts(raw: bytes) -> tuple[str, str]:
    found = (str(part.get_content()) for part in parse(raw).iter_parts())
    text, html = (one.replace("\r\n", "\n").removesuffix("\n") for one in found)
    return text, html


def tokens(text: str) -> list[str]:
    return re.findall(r"https://notify\.example\.org/u/([A-Za-z0-9_-]+)", text)


@pytest.mark.parametrize(
    "frozen",
    [sample_digest(), digest(HELLO), digest(CYRILLIC), digest(KANJI), digest(*[CYRILLIC] * 300)],
    ids=["sample", "one", "cyrillic", "kanji", "large"],
)
def test_the_same_link_stands_in_the_header_and_in_both_parts(composer: Composer, frozen: FrozenDigest) -> None:
    raw = message(composer, frozen)
    assert lint(raw) == []
    mail = parse(raw)
    (token,) = tokens(mail["List-Unsubscribe"])
    assert mail["List-Unsubscribe"] == f"<https://notify.example.org/u/{token}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text, html = parts(raw)
    assert tokens(text) == tokens(html) == [token]
    right = Right(READER.fingerprint, subscription_key(frozen.key.identity))
    assert LINKS.read(token, frozen.frozen) == right
    assert slot(frozen.id) not in raw.decode()


def test_each_recipient_has_a_link_of_their_own_and_they_share_the_body(composer: Composer) -> None:
    frozen = sample_digest()
    found = {tokens(parts(message(composer, frozen, one))[0])[0] for one in (READER, BEN)}
    assert len(found) == 2
    # What is stored once for each of them.
    assert len(composer.headers(frozen, READER)) < 250
    assert not [one for one in found if one.encode() in composer.body(frozen)]


def test_a_retry_is_byte_for_byte_the_same_after_a_change_of_secrets_too(composer: Composer) -> None:
    frozen = sample_digest()
    again = Composer(sender=SENDER, links=replace(LINKS, secrets=("a-new-secret-of-ours", *LINKS.secrets)))
    assert message(Composer(sender=SENDER, links=LINKS), frozen) == message(composer, frozen)
    # The headers are stored with the delivery; the body does not depend on the secrets.
    assert again.body(frozen) == composer.body(frozen)


def test_without_a_public_url_nothing_is_advertised() -> None:
    raw = message(Composer(sender=SENDER), sample_digest())
    assert b"List-Unsubscribe" not in raw
    assert b"/u/" not in raw
    assert "ask the operator" in parts(raw)[0]


def test_one_click_needs_https() -> None:
    """RFC 8058 3.1: the header must hold an HTTPS URI."""
    plain = replace(LINKS, public_url="http://127.0.0.1:9464")
    mail = parse(message(Composer(sender=SENDER, links=plain), sample_digest()))
    assert mail["List-Unsubscribe"].startswith("<http://127.0.0.1:9464/u/")
    assert mail["List-Unsubscribe-Post"] is None


def test_the_text_of_a_hook_stays_its_own(composer: Composer) -> None:
    """K: the text part of a kinto-emailer hook is exactly its template; the header and the HTML part have the link."""
    own = replace(HELLO, text="Bonjour\nune ligne", subject="Hi")
    raw = message(composer, digest(own, home="/buckets/blog", name="0"))
    assert lint(raw) == []
    text, html = parts(raw)
    assert text == "Bonjour\nune ligne"
    assert tokens(html) == tokens(parse(raw)["List-Unsubscribe"])


def test_the_summary_has_the_link_too(composer: Composer) -> None:
    frozen = digest(*(replace(LINES[0], id=f"r{index}") for index in range(100)))
    body = composer.summary(frozen, composer.body(frozen))
    assert body is not None
    raw = filled(for_summary(composer.headers(frozen, READER)), body, frozen.id)
    assert lint(raw) == []
    assert tokens(parts(raw)[0]) == tokens(parse(raw)["List-Unsubscribe"])


def test_x11_a_record_cannot_name_the_slot(composer: Composer) -> None:
    """Its author would have the reader's token in a link of their own."""
    first = slot(digest(HELLO).id)
    hostile = replace(HELLO, title=f"https://evil.example/?{first}")
    # What it can know is the slot of another digest: this one's id is a hash of what was filed since.
    frozen = replace(digest(hostile), id="f" * 40)
    text, html = parts(message(composer, frozen))
    assert f"https://evil.example/?{first}" in html + text
    assert len(tokens(text)) == len(tokens(html)) == 1


@pytest.mark.parametrize("before", range(60, 100))
@pytest.mark.parametrize("letter", ["x", "é", " "])
def test_a_slot_survives_wherever_it_stands_on_a_line(before: int, letter: str) -> None:
    mark, token = slot("d"), "-" * 64
    text = f"{letter * before}{mark}{letter * 30} \t\n{mark}\nend"
    raw = mime.alternative(text, f"<p>{text}</p>", "=_m", mark)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert max(len(line) for line in raw.split(b"\r\n") if not line.startswith(b"Content")) <= 76
    head = b'Content-Type: multipart/alternative; boundary="=_m"\r\nList-Unsubscribe: <https://x/u/%b>\r\n'
    whole = filled(head % token.encode(), b"\r\n" + raw, "d")
    assert parts(whole)[0] == text.replace(mark, token)


def test_a_line_of_headers_that_looks_like_a_link_is_none() -> None:
    name = Mailbox(f"List-Unsubscribe: <https://x/u/{'A' * 64}>", "a@example.org")
    head = Composer(sender=SENDER).headers(digest(HELLO), name)
    assert filled(head, slot("d").encode(), "d") == head + slot("d").encode()


def test_a_template_may_show_it(tmp_path) -> None:
    (tmp_path / "digest.txt").write_text("Stop: {{ unsubscribe or 'no' }}")
    with_links = Composer(sender=SENDER, templates=tmp_path, links=LINKS)
    assert len(tokens(parts(message(with_links, digest(HELLO)))[0])) == 1
    assert parts(message(Composer(sender=SENDER, templates=tmp_path), digest(HELLO)))[0] == "Stop: no"
