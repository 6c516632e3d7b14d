"""What a mail says in one line."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from kinto_notify.compose.composer import Composer
from kinto_notify.compose.phrases import actors, full, moment, plural, span, who
from kinto_notify.digest import Line
from support.digests import BLOG, HELLO, SENDER, digest

BUCKET = (("bucket_id", "blog"), ("collection_id", ""))
NOWHERE = (("bucket_id", ""), ("collection_id", ""))


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(sender=SENDER)


@pytest.mark.parametrize(
    ("counts", "subject"),
    [
        ({"record update": 12, "record create": 3}, "[blog/articles] 12 records updated, 3 created"),
        ({"record create": 3, "record update": 12}, "[blog/articles] 12 records updated, 3 created"),
        (
            {"record delete": 2, "record update": 2, "record create": 2},
            "[blog/articles] 2 records created, 2 updated, 2 deleted",
        ),
        ({"record create": 1}, "[blog/articles] 1 record created"),
        ({"record update": 1_000_000}, "[blog/articles] 1,000,000 records updated"),
        ({"group update": 1, "record create": 2}, "[blog/articles] 2 records created, 1 group updated"),
        ({"history create": 2}, "[blog/articles] 2 histories created"),
        ({"collection ReviewRequested": 2}, "[blog/articles] 2 collections ReviewRequested"),
    ],
)
def test_many_changes_are_told_by_their_totals(composer, counts, subject):
    assert (
        composer.subject(digest(HELLO, counts=counts) if sum(counts.values()) > 1 else digest(counts=counts)) == subject
    )


def test_one_change_is_told_with_its_name_and_author(composer):
    assert composer.subject(digest(HELLO)) == '[blog/articles] record "Hello" updated by account:alice'
    untitled = replace(HELLO, title="", user_id="", action="delete")
    assert composer.subject(digest(untitled)) == "[blog/articles] record autumn-walks deleted"


def test_the_place_is_what_the_group_says_or_what_all_changes_have_in_common(composer):
    bucket = Line("create", "bucket", "blog", "/buckets/blog", user_id="account:alice")
    collection = Line("create", "collection", "wiki", "/buckets/blog/collections/wiki", user_id="account:alice")
    assert composer.subject(digest(bucket, group=BUCKET)) == "[blog] bucket blog created by account:alice"
    assert composer.subject(digest(bucket, collection, group=())) == "[blog] 1 bucket created, 1 collection created"
    assert composer.subject(digest(HELLO, HELLO, group=())) == "[blog/articles] 2 records updated"
    elsewhere = replace(HELLO, uri="/buckets/shop/collections/wares/records/w")
    assert composer.subject(digest(HELLO, elsewhere, group=NOWHERE)) == "[kinto] 2 records updated"
    # Where not all changes are listed, what those have in common proves nothing.
    assert composer.subject(digest(HELLO, counts={"record update": 2}, group=())) == "[kinto] 2 records updated"
    assert composer.subject(digest(HELLO, group=BLOG[1:])).startswith("[articles] ")


def test_a_subject_is_one_line_of_sane_length(composer):
    long = replace(HELLO, title="long\r\nBcc: x@y.example " + "word " * 100)
    subject = composer.subject(digest(long))
    assert len(subject) <= 200
    assert subject.startswith('[blog/articles] record "long Bcc: x@y.example word')
    assert subject.endswith(" updated by account:alice")
    assert len(composer.subject(digest(HELLO, group=(("bucket_id", "b" * 500), ("collection_id", "c" * 500))))) <= 200


def test_the_operators_own_subject(composer):
    templated = digest(HELLO, HELLO, subject="{{ where }}: {{ total }} by {{ actors }}")
    assert composer.subject(templated) == "blog/articles: 2 by account:alice"


def test_a_hooks_subject_is_plain_text_never_a_template(composer):
    said = replace(HELLO, subject="{{ 7 * 7 }} changed\nBcc: x")
    assert composer.subject(digest(said, home="/buckets/blog")) == "{{ 7 * 7 }} changed Bcc: x"
    # Of several changes with subjects of their own, none speaks for all.
    assert composer.subject(digest(said, HELLO, home="/buckets/blog")).startswith("[blog/")


def test_people_are_named_shortly():
    assert who("basicauth:" + "0123abcd" * 8) == "basicauth:0123abcd…"
    assert who("account:alice") == "account:alice"
    assert who("") == ""
    assert len(who("account:" + "x" * 500)) == 60
    assert actors(["account:a"], complete=True) == "account:a"
    assert actors(["a:1", "a:2", "a:1"], complete=True) == "a:1 and a:2"
    assert actors(["a:1", "a:2", "a:3"], complete=True) == "a:1, a:2 and 1 other"
    assert actors(["a:1", "a:1"], complete=False) == "a:1 and perhaps others"
    assert actors([], complete=False) == ""


def test_times_are_in_the_operators_zone():
    paris, stamp = ZoneInfo("Europe/Paris"), 1_795_446_252_000
    assert full(moment(stamp, paris)) == "23 Nov 2026 16:04:12 CET"
    first, minute_later, next_day = (moment(stamp + add, paris) for add in (0, 60_000, 86_400_000))
    assert first is not None
    assert minute_later is not None
    assert next_day is not None
    assert span([first]) == "23 Nov 2026, 16:04 CET"
    assert span([minute_later, first]) == "23 Nov 2026, 16:04 to 16:05 CET"
    assert span([first, next_day]) == "23 Nov 2026 16:04 to 24 Nov 2026 16:04 CET"


@pytest.mark.parametrize("stamp", [0, -1, 10**15, 10**30, -(10**30)])
def test_a_timestamp_that_no_calendar_knows_has_no_words(stamp):
    assert moment(stamp, ZoneInfo("Pacific/Kiritimati")) is None
    assert full(None) == ""


def test_plurals():
    assert [plural(1, "record"), plural(2, "entry"), plural(2, "key"), plural(1000, "group")] == [
        "1 record",
        "2 entries",
        "2 keys",
        "1,000 groups",
    ]


def test_g07_the_hour_that_comes_twice_and_the_one_that_never_comes():
    paris = ZoneInfo("Europe/Paris")
    # 25 October 2026, 00:30, 01:30 UTC: half past two comes twice, and says which one it is.
    assert [full(moment(stamp, paris)) for stamp in (1_792_888_200_000, 1_792_891_800_000)] == [
        "25 Oct 2026 02:30:00 CEST",
        "25 Oct 2026 02:30:00 CET",
    ]
    # 28 March 2027, 00:59, 01:00 UTC: from two o'clock it is three.
    assert [full(moment(stamp, paris)) for stamp in (1_806_195_540_000, 1_806_195_600_000)] == [
        "28 Mar 2027 01:59:00 CET",
        "28 Mar 2027 03:00:00 CEST",
    ]
