"""X11: a link is the right of one recipient over one subscription of one namespace, for two years, and no other."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinto_notify.address import Mailbox
from kinto_notify.inbox_link import TOKEN_LENGTH, VALID_DAYS, InboxLinks, Right
from kinto_notify.wish import DAY_MS, subscription_key

SECRET = "0123456789abcdef"
NOW = 1_795_446_252_000
ANN, BEN = Mailbox("Ann", "ann@example.org"), Mailbox("", "ben@example.org")
S = "file#articles"


def links(*secrets: str, namespace: str = "kinto-notify") -> InboxLinks:
    return InboxLinks("https://notify.example.org", namespace, secrets or (SECRET,))


def token(made: int = NOW, who: Mailbox = ANN, identity: str = S) -> str:
    return links().token(who.fingerprint, identity, made)


@given(st.text(max_size=300), st.integers(1_577_836_800_000, 4_000_000_000_000))
def test_what_is_made_is_read(identity: str, made: int) -> None:
    text = token(made, identity=identity)
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}", text)
    assert links().read(text, made) == Right(ANN.fingerprint, subscription_key(identity))
    assert links().url(text) == f"https://notify.example.org/u/{text}"


def test_an_edit_of_case_or_name_is_the_same_right_and_another_person_or_subscription_is_not() -> None:
    assert token(who=Mailbox("A.", "ANN@Example.org")) == token()
    assert len({token(), token(who=BEN), token(identity="file#other"), token(NOW + DAY_MS)}) == 4


def test_it_is_the_same_on_a_retry_of_the_same_day() -> None:
    assert token(NOW) == token(NOW // DAY_MS * DAY_MS)


@pytest.mark.parametrize("at", range(TOKEN_LENGTH))
def test_x11_no_letter_can_be_changed(at: int) -> None:
    good = token()
    for letter in "A-_z":
        forged = good[:at] + letter + good[at + 1 :]
        assert (links().read(forged, NOW) is None) == (forged != good)


@pytest.mark.parametrize("wrong", ["", "x", "A" * 64, "é" * 64, "a" * 63 + "=", "A" * 63 + "\n"])
def test_x11_what_is_no_token_is_refused(wrong: str) -> None:
    assert links().read(wrong, NOW) is None
    assert links().read(token() + wrong, NOW) == (None if wrong else links().read(token(), NOW))


def test_x11_halves_of_two_rights_make_none() -> None:
    """Another user's token: neither who nor what can be taken from it."""
    mine, theirs = (base64.urlsafe_b64decode(token(who=who)) for who in (ANN, BEN))
    for cut in (16, 28, 30):
        mixed = base64.urlsafe_b64encode(theirs[:cut] + mine[cut:]).decode()
        assert links().read(mixed, NOW) is None


def test_x11_secrets_can_be_changed() -> None:
    old = token()
    both = links("a-new-secret-of-ours", SECRET)
    assert both.read(old, NOW) == links().read(old, NOW)
    new = both.token(ANN.fingerprint, S, NOW)
    assert new != old
    assert links("a-new-secret-of-ours").read(new, NOW) is not None
    assert links("a-new-secret-of-ours").read(old, NOW) is None
    assert links().read(new, NOW) is None


def test_x11_another_namespace_has_other_rights() -> None:
    assert links(namespace="other").read(token(), NOW) is None


def test_x11_it_ends_after_two_years() -> None:
    assert links().read(token(), NOW + VALID_DAYS * DAY_MS) is not None
    assert links().read(token(), NOW + (VALID_DAYS + 1) * DAY_MS) is None
