"""One schema: every key of a subscription, good and bad, with the path of each problem."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.digest import DigestRules
from kinto_notify.event import FILTER_WORDS
from kinto_notify.subscription import FILE_HOME, Presentation
from kinto_notify.subscription_table import DigestTable, SubscriptionTable
from kinto_notify.subscription_text import SubscriptionError, parse_subscription, parse_subscriptions
from kinto_notify.timetable import Timetable
from support.subscribed import subscribe

RULES = DigestRules()


def problems(home=FILE_HOME, **keys):
    with pytest.raises(SubscriptionError) as caught:
        subscribe(home, **keys)
    assert caught.value.exit_code == 65
    return [line.removeprefix('subscription "one": ') for line in caught.value.problems]


def test_recipients_alone_are_enough():
    one = parse_subscription({"recipients": ["a@x.org"]}, home=FILE_HOME, index=0, defaults=RULES)
    assert one.recipients == (Mailbox("", "a@x.org"),)
    assert one.rules == RULES
    assert one.presentation.content == "full"
    assert (one.filters, one.where, one.changed, one.redact, one.exclude_actor) == ((), (), (), (), False)


def test_recipients_each_inbox_once_in_order_and_those_in_the_record_apart():
    one = subscribe(recipients=["B <b@x.org>", "a@x.org", "b@X.org", "{new[/author/mail~1work]}", "{new[/cc]}"])
    assert one.recipients == (Mailbox("B", "b@x.org"), Mailbox("", "a@x.org"))
    assert one.from_record == (("author", "mail/work"), ("cc",))


GOOD = [
    ("subject", "Prices", lambda one: one.presentation.subject, "Prices"),
    ("template", "short-1", lambda one: one.presentation.template, "short-1"),
    ("content", "none", lambda one: one.presentation.content, "none"),
    ("reply_to", "R <r@x.org>", lambda one: one.presentation.reply_to, "R <r@x.org>"),
    ("sender", "s@x.org", lambda one: one.presentation.sender, "s@x.org"),
    ("redact", ["/a", "/b~0/c"], lambda one: one.redact, (("a",), ("b~", "c"))),
    ("redact", "/a", lambda one: one.redact, (("a",),)),
    ("changed", ["/a", "/a"], lambda one: one.changed, (("a",),)),
    ("exclude_actor", True, lambda one: one.exclude_actor, True),
    ("urgent", False, lambda one: one.rules, RULES),
    ("digest", {}, lambda one: one.rules, RULES),
    ("digest", {"wait": "1m"}, lambda one: one.rules.wait, 60_000),
    ("digest", {"interval": "0s"}, lambda one: one.rules.interval, 0),
    ("digest", {"interval": "2h"}, lambda one: one.rules.max_wait, 7_200_000),
    ("digest", {"max_wait": "5m"}, lambda one: one.rules.max_wait, 300_000),
    ("digest", {"max_events": 1}, lambda one: one.rules.max_events, 1),
    ("digest", {"max_listed": 0}, lambda one: (one.rules.max_listed, one.presentation.max_listed), (0, 0)),
    ("digest", {"group_by": "request_id"}, lambda one: one.rules.group_by, ("request_id",)),
    ("digest", {"group_by": ["change", "user_id"]}, lambda one: one.rules.group_by, ("change", "user_id")),
    ("digest", {"group_by": []}, lambda one: one.rules.group_by, ()),
    ("digest", {"collapse": "none"}, lambda one: one.rules, RULES),
]


@pytest.mark.parametrize(("key", "value", "read", "expected"), GOOD)
def test_good(key, value, read, expected):
    assert read(subscribe(**{key: value})) == expected


@pytest.mark.parametrize("word", FILTER_WORDS)
def test_every_filter_word_takes_text_and_lists(word):
    assert subscribe(**{word: "x"}).filters[0][0] == word
    (_, wanted) = subscribe(**{word: ["x", "^y", "!z", "!^w"]}).filters[0]
    assert [one.text for one in wanted.words] == ["x", "^y", "!z", "!^w"]


BAD = [
    ("recipients", "a@x.org", "recipients: must be a list, in brackets"),
    ("recipients", [], "recipients: must name at least one"),
    ("recipients", ["a@x.org", "b@x.org, c@x.org"], "recipients[1]: 'b@x.org, c@x.org'"),
    ("recipients", ["a@x.org\nBcc: b@x.org"], "recipients[0]:"),
    ("recipients", [3], "recipients[0]: must be text, in quotes"),
    ("recipients", ["/buckets/blog/groups/editors"], "groups work in hooks of Kinto's metadata only"),
    ("recipients", ["{new[mail]}"], "recipients[0]:"),
    ("recipients", ["{old[/mail]}"], "recipients[0]:"),
    ("name", "", "name: must have 1 to 100 characters"),
    ("name", "a#b", "name: must have"),
    ("name", "a\nb", "name: must have"),
    ("name", "x" * 101, "name: must have"),
    ("name", 3, "name: must be text"),
    ("action", 3, "action: must be text, or a list of texts"),
    ("action", ["create", 3], "action: must be text, or a list of texts"),
    ("action", [], "action: an empty list"),
    ("bucket_id", "^(a", "bucket_id: '^(a' is not a regular expression"),
    ("bucket_id", "!^(a", "bucket_id: '!^(a' is not a regular expression"),
    ("id", "^" + "a" * 300, "id: pattern of 301 characters"),
    ("where", "x", "where: must be a table"),
    ("where", {}, "where: must be a table"),
    ("where", {"status": 1}, "where: status: JSON pointer 'status': must begin with '/'"),
    ("where", {"/a": []}, "where: /a: an empty list"),
    ("where", {"/a": {"b": 1}}, "where: /a: a value is text"),
    ("where", {"/a": float("nan")}, "where: /a: a value is text"),
    ("where", {"/a": "^("}, "where: /a: '^(' is not a regular expression"),
    ("changed", ["price"], "changed: JSON pointer 'price': must begin with '/'"),
    ("redact", [1], "redact: must be text, or a list of texts"),
    ("exclude_actor", "true", "exclude_actor: must be true or false"),
    ("exclude_actor", 1, "exclude_actor: must be true or false"),
    ("subject", "a\r\nBcc: x@y.z", "subject: must be one line"),
    ("subject", "x" * 501, "subject: must be one line"),
    ("template", "../etc/passwd", "template: must be the name of a template"),
    ("template", "", "template: must not be empty"),
    ("content", "some", "content: Input should be 'full' or 'none'"),
    ("reply_to", "nobody", "reply_to: 'nobody'"),
    ("sender", "a@x.org\r\nBcc: b@x.org", "sender: "),
    ("urgent", "no", "urgent: must be true or false"),
    ("recipient", "a@x.org", "recipient: there is no such key; did you mean recipients?"),
    ("colour", "blue", "colour: there is no such key"),
    ("digest", "5m", "digest: "),
    ("digest", {"wait": 30}, "digest.wait: must be text, in quotes"),
    ("digest", {"wait": "30"}, "digest.wait: '30' has no unit"),
    ("digest", {"intervall": "5m"}, "digest.intervall: there is no such key; did you mean interval?"),
    ("digest", {"interval": "-1s"}, "digest.interval: '-1s' is not a duration"),
    ("digest", {"max_wait": "1m"}, "digest.max_wait: is shorter than the interval"),
    ("digest", {"max_events": 0}, "digest.max_events: "),
    ("digest", {"max_events": True}, "digest.max_events: must be a whole number"),
    ("digest", {"max_listed": -1}, "digest.max_listed: "),
    ("digest", {"max_listed": 1001}, "digest.max_listed: "),
    ("digest", {"group_by": "bucket"}, "digest.group_by: 'bucket' is nothing to group by; did you mean bucket_id?"),
    ("digest", {"at": ["9"]}, "digest.at: '9' is not a time of day"),
    ("digest", {"days": "weekdays"}, "digest.days: 'weekdays' are not week days"),
    ("digest", {"timezone": "Europe/Paris"}, "digest.timezone: says nothing without at, days or quiet"),
    ("digest", {"timezone": "Europe/Pari"}, "digest.timezone: 'Europe/Pari' is not a time zone"),
    ("digest", {"quiet": "night"}, "digest.quiet: 'night' are not quiet hours"),
    ("digest", {"urgent": "yes"}, "digest.urgent: must be true or false"),
    ("digest", {"collapse": "gross"}, "digest.collapse: Input should be 'none' or 'net'"),
]


@pytest.mark.parametrize(("key", "value", "told"), BAD)
def test_bad(key, value, told):
    with pytest.raises(SubscriptionError) as caught:
        subscribe(**{key: value})
    (line,) = caught.value.problems
    assert told in line
    assert line.startswith("subscription ")


def test_every_key_is_in_the_tables():
    assert {key for key, *_ in GOOD} | {"name", "recipients", "where", *FILTER_WORDS} == set(
        SubscriptionTable.model_fields
    )
    of_digest = {key for name, value, *_ in GOOD + BAD if name == "digest" and isinstance(value, dict) for key in value}
    assert set(DigestTable.model_fields) <= of_digest


def test_all_problems_at_once_with_their_paths():
    assert problems(action=1, digest={"wait": 1, "wiat": "1s"}, recipients=["x"], exclude_actor="y") == [
        "action: must be text, or a list of texts",
        "exclude_actor: must be true or false, without quotes",
        "digest.wait: must be text, in quotes",
        "digest.wiat: there is no such key; did you mean wait?",
        "recipients[0]: 'x': An email address must have an @-sign.",
    ]


@pytest.mark.parametrize("raw", [None, 3, "x", [], [1]])
def test_what_is_no_table(raw):
    with pytest.raises(SubscriptionError, match="subscription 3: must be a table"):
        parse_subscription(raw, home=FILE_HOME, index=2, defaults=RULES)


def test_a_nameless_one_is_told_by_its_place_and_named_by_its_content():
    with pytest.raises(SubscriptionError, match="subscription 2: recipients: is required"):
        parse_subscriptions([{"recipients": ["a@x.org"]}, {}], home=FILE_HOME, defaults=RULES)
    tables = [{"recipients": ["a@x.org"]}, {"action": "create", "recipients": ["a@x.org"]}]
    there = parse_subscriptions(tables, home=FILE_HOME, defaults=RULES)
    back = parse_subscriptions(tables[::-1], home=FILE_HOME, defaults=RULES)
    assert [one.identity for one in there] == [one.identity for one in back][::-1]
    assert there[0].identity != there[1].identity


def test_a_nameless_hook_is_named_by_its_place():
    hooks = parse_subscriptions([{"recipients": ["a@x.org"]}] * 2, home="/buckets/blog", defaults=RULES)
    assert [one.identity for one in hooks] == ["/buckets/blog#0", "/buckets/blog#1"]


def test_two_of_one_name_in_one_home():
    table = {"name": "one", "recipients": ["a@x.org"]}
    with pytest.raises(SubscriptionError, match="subscription 2: a subscription before it has the name 'one'"):
        parse_subscriptions([table, {**table, "action": "create"}], home=FILE_HOME, defaults=RULES)
    nameless = {"recipients": ["a@x.org"]}
    with pytest.raises(SubscriptionError, match="subscription 2: the same as one before it"):
        parse_subscriptions([nameless, nameless], home=FILE_HOME, defaults=RULES)


def test_the_text_holds_the_presentation_and_everything_but_the_recipients():
    one = subscribe(subject="S", template="t", content="none", reply_to="r@x.org", action="create")
    assert Presentation.from_text(one.text) == one.presentation
    assert subscribe(recipients=["other@x.org"]).text == subscribe().text


def test_two_spellings_of_one_meaning_have_one_text():
    first = subscribe(action=["update", "create"], changed=["/b", "/a"], digest={"wait": "60s"}, redact="/x")
    second = subscribe(
        action=["create", "update", "create"], changed=["/a", "/b"], digest={"wait": "1m"}, redact=["/x"]
    )
    assert first.text == second.text


@pytest.mark.parametrize(
    "edit",
    [
        {"action": "create"},
        {"action": "!create"},
        {"where": {"/a": 1}},
        {"where": {"/a": "1"}},
        {"where": {"/a": True}},
        {"where": {"/a": "^1"}},
        {"changed": "/a"},
        {"redact": "/a"},
        {"exclude_actor": True},
        {"subject": "other"},
        {"template": "other"},
        {"content": "none"},
        {"sender": "s@x.org"},
        {"reply_to": "r@x.org"},
        {"digest": {"wait": "1s"}},
        {"digest": {"interval": "1s"}},
        {"digest": {"max_wait": "1h"}},
        {"digest": {"max_events": 3}},
        {"digest": {"max_listed": 3}},
        {"digest": {"group_by": "id"}},
    ],
)
def test_every_edit_changes_the_text_and_not_the_identity(edit):
    seen = {subscribe(**other).text for other in ({}, {"where": {"/a": 2}})}
    one = subscribe(**edit)
    assert one.text not in seen
    assert one.identity == subscribe().identity


def test_where_tells_types_apart_in_its_text():
    texts = {subscribe(where={"/a": value}).text for value in (1, "1", True, "true", None, "null", "^1")}
    assert len(texts) == 7


def test_a_timetable_is_in_the_zone_of_the_subscription_or_else_the_operators():
    paris = replace(RULES, zone=ZoneInfo("Europe/Paris"))
    raw = {"recipients": ["a@x.org"], "digest": {"at": ["17:30", "09:00"], "days": "mon-fri", "quiet": "22:00-07:00"}}
    rules = parse_subscription(raw, home=FILE_HOME, index=0, defaults=paris).rules
    assert rules.timetable == Timetable(ZoneInfo("Europe/Paris"), (540, 1050), frozenset(range(5)), (1320, 420))
    raw["digest"]["timezone"] = "Asia/Tokyo"
    moved = parse_subscription(raw, home=FILE_HOME, index=0, defaults=paris)
    assert moved.rules.timetable.zone.key == "Asia/Tokyo"
    assert "Asia/Tokyo" in moved.text
    assert subscribe(digest={"wait": "1m"}).rules.timetable is None


@pytest.mark.parametrize("keys", [{"urgent": True}, {"digest": {"urgent": True}}])
def test_urgent_is_each_change_at_once(keys):
    raw = {"digest": {"at": "09:00", "wait": "1h", **keys.pop("digest", {})}, **keys}
    rules = subscribe(**raw).rules
    assert (rules.wait, rules.interval, rules.group_by, rules.timetable) == (0, 0, ("change",), None)
