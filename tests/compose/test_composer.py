"""The whole mail: its headers, its stability over retries, its size, and what it says of each change."""

from dataclasses import replace

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import LINES, sample_digest
from kinto_notify.compose.view import NOTE_HIDDEN, NOTE_MAYBE, NOTE_TRUNCATED, NOTE_UNCHANGED
from kinto_notify.diff import FieldDiff
from kinto_notify.digest import Line
from kinto_notify.errors import ConfigError
from support.digests import HELLO, READER, SENDER, digest, message
from support.mail_linter import lint, parse

ADMIN = "https://kinto.example.org/v1/admin"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(sender=SENDER, admin_url=f"{ADMIN}/")


def test_the_sample_is_a_good_mail(composer):
    assert lint(message(composer, sample_digest())) == []


def test_the_headers_of_the_contract(composer):
    """C12: Auto-Submitted keeps answering machines from answering, and so from a loop."""
    mail = parse(
        message(composer, digest(HELLO, LINES[1], reply_to="Desk <desk@example.org>"), Mailbox("Ann", "ann@x.org"))
    )
    assert mail["From"] == "Kinto <kinto@example.org>"
    assert mail["To"] == "Ann <ann@x.org>"
    assert mail["Subject"] == "[blog/articles] 1 record created, 1 updated"
    assert mail["Date"] == "Mon, 23 Nov 2026 15:16:40 +0000"
    assert mail["Reply-To"] == "Desk <desk@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["List-Id"] == "<articles.kinto-notify.example.org>"
    assert mail["References"] == mail["In-Reply-To"]
    assert mail["X-Kinto-Bucket"] == "blog"
    assert mail["X-Kinto-Collection"] == "articles"
    assert mail["X-Kinto-Action"] == "create, update"
    assert mail["X-Kinto-Reason"] == "file#articles"


def test_a_retry_is_byte_for_byte_the_same(composer):
    again = Composer(sender=SENDER, admin_url=ADMIN)
    assert message(composer, sample_digest()) == message(again, sample_digest())
    # What the digester notes about its own work is no part of the mail.
    assert composer.body(replace(sample_digest(), cursor=500)) == composer.body(sample_digest())


def test_a_message_id_is_never_used_for_other_content(composer):
    first = digest(HELLO)
    ids = [
        parse(message(composer, frozen, recipient))["Message-ID"]
        for frozen, recipient in (
            (first, READER),
            (first, Mailbox("", "other@example.org")),
            (replace(first, id="another"), READER),
        )
    ]
    assert len(set(ids)) == len(ids)
    # Redis lost its last second, and the same changes were frozen anew.
    again = message(composer, replace(first, frozen=first.frozen + 1))
    assert parse(again)["Message-ID"] == ids[0]
    named = message(composer, first, Mailbox("Reader", READER.address))
    assert parse(named)["Message-ID"] == ids[0]


def test_mails_of_one_subscription_and_group_make_one_thread(composer):
    roots = [
        parse(message(composer, frozen))["References"]
        for frozen in (
            digest(HELLO),
            replace(digest(LINES[1]), frozen=1_795_999_999_000),
            digest(HELLO, name="other"),
            digest(HELLO, group=(("bucket_id", "blog"), ("collection_id", "drafts"))),
        )
    ]
    assert roots[0] == roots[1]
    assert len(set(roots)) == 3


def test_c10_a_million_changes_make_one_small_mail_with_true_totals(composer):
    lines = tuple(replace(HELLO, id=f"r{index}", fields=LINES[1].fields) for index in range(100))
    huge = digest(*lines, counts={"record update": 999_000, "record delete": 1_000})
    mail = message(composer, huge)
    assert lint(mail) == []
    parts = composer.parts(huge)
    assert parts.subject == "[blog/articles] 999,000 records updated, 1,000 deleted"
    listed = parts.text.count('record "Hello" updated')
    assert 50 < listed <= 100
    assert parts.html.count(">Hello</a>") == listed
    for shown in (parts.text, parts.html):
        assert "999,000 records updated, 1,000 deleted" in shown
        assert f"and {1_000_000 - listed:,} more" in shown


def test_a_mail_that_would_be_clipped_lists_less_and_says_so(composer):
    value = "漢字𝄞" * 80
    fat = tuple(FieldDiff(f"/field{index}", value, value[::-1]) for index in range(20))
    frozen = digest(*(replace(HELLO, id=f"r{index}", fields=fat) for index in range(100)))
    mail = message(composer, frozen)
    assert lint(mail) == []
    parts = composer.parts(frozen)
    listed = parts.text.count('record "Hello" updated')
    assert listed == parts.html.count(">Hello</a>")
    assert 1 <= listed < 100
    assert f"and {100 - listed} more" in parts.text
    assert "more fields" in parts.text
    # Even one change can be too much.
    single = digest(replace(HELLO, fields=fat, more_fields=7))
    assert lint(message(composer, single)) == []
    assert "more fields" in composer.parts(single).text


def test_a_field_says_what_it_was_and_what_it_is(composer):
    shown = composer.parts(digest(HELLO)).text
    assert "    ~ status: draft → published\n" in shown
    assert '    + tags: ["outdoors", "autumn"]\n' in shown
    assert "    - review_note: Check the train times\n" in shown
    html = composer.parts(digest(HELLO)).html
    assert "<b>~</b> status: <del>draft</del> → <ins>published</ins>" in html
    assert "<b>−</b> review_note: <del>Check the train times</del>" in html
    assert "<b>+</b> tags: <ins>[&#34;outdoors&#34;, &#34;autumn&#34;]</ins>" in html


def test_right_to_left_words_turn_nothing_around_them(composer):
    frozen = digest(replace(HELLO, fields=(FieldDiff("/title", "عنوان", "רחוב"),)))
    assert "    ~ title: \u2068عنوان\u2069 → \u2068רחוב\u2069\n" in composer.parts(frozen).text
    assert lint(message(composer, frozen)) == []


def test_a_value_cannot_forge_a_line(composer):
    forged = FieldDiff("/a", "x", "y\n    + owner: evil\r\n-- \u2028 end")
    shown = composer.parts(digest(replace(HELLO, fields=(forged, FieldDiff("/b", "", " "))))).text
    assert "    ~ a: x → y ⏎ + owner: evil ⏎ -- ⏎ end\n" in shown
    assert '    ~ b: "" → ""\n' in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (replace(HELLO, fields=(), truncated=True), NOTE_TRUNCATED),
        (replace(HELLO, maybe=True), NOTE_MAYBE),
        (replace(HELLO, fields=()), NOTE_UNCHANGED),
        (replace(HELLO, fields=(), hidden=True), NOTE_HIDDEN),
        (replace(HELLO, more_fields=1), "and 1 more field"),
        (
            Line("delete", "bucket", "blog", "/buckets/blog", children=(("collection", 2), ("record", 310))),
            "with 2 collections and 310 records",
        ),
    ],
)
def test_what_is_odd_about_a_change_is_said(composer, line, said):
    parts = composer.parts(digest(line))
    assert said in " ".join(parts.text.replace("\n   ", " ").split())
    assert said in parts.html
    assert lint(message(composer, digest(line))) == []


def test_content_none_says_where_and_shows_no_data(composer):
    bare = replace(HELLO, title="", fields=())
    parts = composer.parts(digest(bare, content="none"))
    for shown in (parts.text, parts.html):
        assert "left out of this mail on purpose" in shown
        assert "blog/articles" in shown
        assert NOTE_UNCHANGED not in shown
    assert lint(message(composer, digest(bare, content="none"))) == []


def test_links_go_to_kinto_admin_and_else_the_uri_stands_there(composer):
    link = f"{ADMIN}/#/buckets/blog/collections/articles/records/autumn-walks/attributes"
    assert link in composer.parts(digest(HELLO)).text
    assert f'<a href="{link}">Hello</a>' in composer.parts(digest(HELLO)).html
    bare = Composer(sender=SENDER).parts(digest(HELLO))
    assert "  /buckets/blog/collections/articles/records/autumn-walks\n" in bare.text
    assert "href" not in bare.html
    deleted = composer.parts(digest(replace(HELLO, action="delete")))
    assert link not in deleted.text + deleted.html
    group = Line("create", "group", "g h", "/v1/buckets/blog/groups/g%20h")
    assert f"{ADMIN}/#/buckets/blog/groups/g%20h/attributes" in composer.parts(digest(group)).text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//x", "ftp://x", "https://", "https://x y", 'https://x"', "http://[::1"]
)
def test_an_admin_url_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="ADMIN_URL"):
        Composer(sender=SENDER, admin_url=url)


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)", "https://evil.example/buckets/b", "/buckets", "/buckets/b/wat/c", "//evil/x", "/v1/", ""],
)
def test_c08_only_our_own_links_are_links(composer, uri):
    html = composer.parts(digest(replace(HELLO, uri=uri))).html
    assert html.count("href") == 1  # that of the collection, in the header
    assert lint(message(composer, digest(replace(HELLO, uri=uri)))) == []


def test_c08_a_record_cannot_bring_markup(composer):
    evil = '<script>alert(1)</script><img src=x onerror="y"> {{ 7*7 }}'
    line = replace(
        HELLO, title=evil, id=evil, user_id=evil, uri=f"/buckets/{evil}", fields=(FieldDiff(f"/{evil}", evil, evil),)
    )
    frozen = digest(line, name=evil, group=(("bucket_id", evil), ("collection_id", evil)))
    assert lint(message(composer, frozen)) == []
    assert "&lt;script&gt;" in composer.parts(frozen).html
    assert "{{ 7*7 }}" in composer.parts(frozen).html


def test_why_and_how_to_stop_it(composer):
    plain = " ".join(composer.parts(digest(HELLO)).text.split())
    assert 'because your address is in the subscription "articles", in the operator\'s configuration.' in plain
    assert "To stop it, ask the operator of this Kinto: kinto@example.org" in plain
    hook = digest(HELLO, home="/buckets/blog/collections/articles", name="0", reply_to="Desk <desk@x.org>")
    hooked = " ".join(composer.parts(hook).text.split())
    assert 'subscription "0", in the metadata of the collection blog/articles.' in hooked
    assert "desk@x.org" in hooked


def test_a_subscriptions_sender_stands_in_from():
    told: list[tuple[str, str]] = []
    composer = Composer(sender=SENDER, on_fallback=lambda name, why: told.append((name, why)))
    assert parse(message(composer, digest(HELLO, sender="Blog <blog@x.org>")))["From"] == "Blog <blog@x.org>"
    broken = digest(HELLO, sender="a@x\r\nBcc: b@y", reply_to="nobody")
    mail = message(composer, broken)
    assert lint(mail) == []
    assert parse(mail)["From"] == "Kinto <kinto@example.org>"
    assert parse(mail)["Reply-To"] is None
    assert [name for name, _ in told] == ["reply_to of file#articles", "sender of file#articles"]


def test_a_sender_that_is_no_address_is_a_configuration_error():
    with pytest.raises(ConfigError, match="SENDER"):
        Composer(sender=Mailbox("", "a@x\r\nBcc: b@y"))


def test_c04_a_recipient_with_a_local_part_beyond_ascii(composer):
    mail = message(composer, digest(HELLO), Mailbox("", "josé@example.org"))
    assert lint(mail, smtputf8=True) == []
    assert mail.startswith("To: josé@example.org\r\n".encode())
