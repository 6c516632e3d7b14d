"""Anything in every field still makes a good mail."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.diff import FieldDiff
from kinto_notify.digest import FrozenDigest, Line
from support.digests import READER, SENDER, digest, message
from support.mail_linter import lint, parse

COMPOSER = Composer(sender=SENDER, admin_url="https://kinto.example.org/admin")
NASTY = [
    "=?utf-8?q?=0D=0ABcc:_evil@example.org?=",
    "\r\nBcc: evil@example.org\r\n\r\n<script>",
    ".\r\nMAIL FROM:<evil@example.org>",
    '"><img src=x onerror=alert(1)>',
    "{{ config }}{% for x in y %}",
    "\u202egpj.exe",
    "\x00\x1b]0;owned\x07",
    "\ud800",
    "x" * 3000,
    "漢" * 2000,
    "👩‍👩‍👧‍👦" * 300,
    "a " * 2000,
    "/" * 500,
    "%00%0d%0a",
]
TEXT = st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=80))
LINES = st.builds(
    Line,
    action=st.one_of(st.sampled_from(["create", "update", "delete"]), TEXT),
    resource_name=st.one_of(st.just("record"), TEXT),
    id=TEXT,
    uri=st.one_of(TEXT, TEXT.map(lambda text: f"/buckets/b/collections/{text}")),
    title=TEXT,
    user_id=TEXT,
    timestamp=st.one_of(st.integers(), st.integers(0, 2**42)),
    fields=st.lists(st.builds(FieldDiff, TEXT, st.none() | TEXT, st.none() | TEXT), max_size=20).map(tuple),
    more_fields=st.integers(0, 10**9),
    truncated=st.booleans(),
    maybe=st.booleans(),
    children=st.lists(st.tuples(TEXT, st.integers(0, 10**9)), max_size=12).map(tuple),
)


@st.composite
def digests(draw: st.DrawFn) -> FrozenDigest:
    counts = draw(st.none() | st.dictionaries(TEXT, st.integers(1, 10**9), min_size=1, max_size=8))
    return digest(
        *draw(st.lists(LINES, max_size=6)),
        counts=counts,
        group=tuple(draw(st.lists(st.tuples(st.sampled_from(["bucket_id", "collection_id", "id"]), TEXT), max_size=3))),
        home=draw(st.sampled_from(["file", "/buckets/b", "/buckets/b/collections/c"]) | TEXT),
        name=draw(TEXT),
        subject=draw(st.none() | TEXT),
        template=draw(st.none() | TEXT),
        content=draw(st.sampled_from(["full", "none"])),
        reply_to=draw(st.none() | TEXT),
        sender=draw(st.none() | TEXT),
    )


# Composing and linting a mail of several parts takes milliseconds; how many is the machine's matter.
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(digests(), TEXT)
def test_any_digest_makes_a_good_mail(frozen, name):
    """C01 to C03, C06 to C09, together and in every field."""
    mail = message(COMPOSER, frozen, Mailbox(name, READER.address))
    assert lint(mail) == []
    assert parse(mail)["Bcc"] is None
    assert mail == message(COMPOSER, frozen, Mailbox(name, READER.address))
    assert COMPOSER.parts(frozen).subject == COMPOSER.subject(frozen)
