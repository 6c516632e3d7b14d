"""The mail that tells the totals alone, where the relay finds the whole one too big (S10)."""

from dataclasses import replace
from pathlib import Path

import pytest

from kinto_notify.compose.composer import SUMMARY_FROM, Composer
from kinto_notify.compose.headers import for_summary
from kinto_notify.compose.sample import LINES
from kinto_notify.digest import FrozenDigest, Line
from support.digests import HELLO, READER, SENDER, digest
from support.mail_linter import lint, parse

ADMIN = "https://kinto.example.org/v1/admin"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(sender=SENDER, admin_url=f"{ADMIN}/")


def fat(**more: object) -> FrozenDigest:
    """A hundred changes."""
    return digest(*(replace(LINES[1], id=f"r{number}") for number in range(100)), **more)  # type: ignore[arg-type]


def summary(composer: Composer, frozen: FrozenDigest) -> bytes:
    made = composer.summary(frozen, composer.body(frozen))
    assert made is not None
    return for_summary(composer.headers(frozen, READER)) + made


def test_s10_it_tells_totals_and_link_and_no_details(composer: Composer) -> None:
    whole = composer.headers(fat(), READER) + composer.body(fat())
    short = summary(composer, fat())
    assert lint(short) == []
    assert len(short) < SUMMARY_FROM < len(whole)
    mail = parse(short)
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        told = " ".join(part.get_content().split())
        assert "100 records created" in told
        assert f"{ADMIN}/#/buckets/blog/collections/articles" in told
        assert "these are the totals" in told
        assert "r7" not in told
    assert mail["Subject"] == parse(whole)["Subject"]
    assert mail["References"] == parse(whole)["References"]


def test_s10_its_message_id_is_its_own_and_stable(composer: Composer) -> None:
    whole = parse(composer.headers(fat(), READER) + composer.body(fat()))
    short = parse(summary(composer, fat()))
    assert short["Message-ID"] != whole["Message-ID"]
    assert str(short["Message-ID"]).endswith("@example.org>")
    assert short["To"] == whole["To"]
    again = Composer(sender=SENDER, admin_url=ADMIN)
    assert summary(again, fat()) == summary(composer, fat())
    with pytest.raises(ValueError, match="Message-ID"):
        for_summary(b"To: ann@example.org\r\n")


def test_s10_a_small_mail_has_none(composer: Composer) -> None:
    assert composer.summary(digest(HELLO), composer.body(digest(HELLO))) is None


def test_s10_it_is_built_in_whatever_the_operators_template_makes(tmp_path: Path) -> None:
    """The template may be what makes the mail so big."""
    (tmp_path / "digest.txt").write_text("{{ totals }}\n" + "x" * 70 + "\n" + "{{ 'word ' * 20_000 }}")
    frozen = digest(Line("create", "record", "r"))
    short = summary(Composer(sender=SENDER, templates=tmp_path), frozen)
    assert lint(short) == []
    assert len(short) < SUMMARY_FROM
