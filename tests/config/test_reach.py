"""Why an address gets mail or does not, and a subscription in words: pure."""

import pytest

from kinto_notify.address import parse_mailbox
from kinto_notify.in_words import filters_in_words, rules_in_words
from kinto_notify.reach import reach
from support.subscribed import happened, subscribe

ANN = parse_mailbox("Ann <ann@example.org>")
OUTSIDER = parse_mailbox("ann@elsewhere.example")
BY_ANN = {"recipients": ["ANN@example.org"], "exclude_actor": True}
OWNER = {"recipients": ["editors@example.org", "{new[/owner]}"]}


def allowed(mailbox):
    return mailbox.domain == "example.org"


@pytest.mark.parametrize(
    ("table", "who", "named", "reached", "reason"),
    [
        ({"recipients": ["Ann <ANN@example.org>"]}, ANN, True, True, "names it"),
        ({"recipients": ["ben@example.org"]}, ANN, False, False, "does not name it"),
        (OWNER, ANN, None, True, "names whom a change names in /owner"),
        (OWNER, OUTSIDER, None, False, "it is outside KINTO_NOTIFY_ALLOWED_RECIPIENTS"),
        (BY_ANN, ANN, True, True, "names it"),
    ],
)
def test_for_any_change(table, who, named, reached, reason):
    found = reach(subscribe(**table), who, None, allowed)
    assert (found.named, found.reached, found.reasons[-1]) == (named, reached, reason)


UPDATE = {"id": "r1", "old": {"title": "A"}, "new": {"title": "B", "owner": "ann@example.org"}}
AWAY = {"id": "r2", "old": {"title": "A"}, "new": {"title": "B", "owner": "ann@elsewhere.example"}}


@pytest.mark.parametrize(
    ("table", "who", "event", "reached", "reason"),
    [
        ({"recipients": ["ann@example.org"]}, ANN, {}, True, "wants 2 of 2 changes, and names it"),
        (OWNER, ANN, {}, True, "wants 1 of 2 changes, and names it"),
        (OWNER, OUTSIDER, {}, False, "the record names it, but it is outside KINTO_NOTIFY_ALLOWED_RECIPIENTS"),
        (OWNER, parse_mailbox("ben@example.org"), {}, False, "wants the event, but does not name it"),
        ({"recipients": ["ben@example.org"]}, ANN, {}, False, "wants the event, but does not name it"),
        (
            BY_ANN,
            ANN,
            {"user_id": "account:ann@example.org"},
            False,
            "wants the event, but does not tell who did it (exclude_actor)",
        ),
        (BY_ANN, ANN, {}, True, "wants 2 of 2 changes, and names it"),
        ({"recipients": ["ann@example.org"], "id": "r1"}, ANN, {}, True, "wants 1 of 2 changes, and names it"),
        ({"recipients": ["ann@example.org"], "action": "create"}, ANN, {}, False, "does not want the event"),
    ],
)
def test_for_an_event(table, who, event, reached, reason):
    found = reach(subscribe(**table), who, happened(UPDATE, AWAY, **event), allowed)
    assert (found.reached, found.reasons[0]) == (reached, reason)


def test_the_filter_that_failed_first_is_named():
    one = subscribe(recipients=["ann@example.org"], action=["create", "delete"], id="r1")
    found = reach(one, ANN, happened(UPDATE), allowed)
    assert found.reasons[1].startswith("action: wants create or delete")
    assert "'update'" in found.reasons[1]


@pytest.mark.parametrize(
    ("table", "wants", "mails"),
    [
        ({}, "every change", "30s after the first change, at most every 5m to 30m, one mail for each bucket_id and"),
        (
            {"bucket_id": ["blog", "^wiki"], "where": {"/status": ["published", "^pre"]}, "changed": ["/a", "/b"]},
            "bucket_id blog or ^wiki, where /status is published or ^pre, /a or /b changed",
            "30s",
        ),
        ({"exclude_actor": True}, "not to who did it", "30s"),
        ({"digest": {"wait": "0s", "interval": "0s"}}, "every change", "at once, one mail for each bucket_id and"),
        ({"digest": {"wait": "0s", "interval": "0s", "group_by": ["change"]}}, "every", "at once, one mail for each"),
        ({"digest": {"max_events": 50, "wait": "1m", "interval": "0s"}}, "every", "1m after the first change, sooner"),
        (
            {"digest": {"at": ["09:00", "17:30"], "days": "mon,fri", "timezone": "Europe/Paris"}},
            "every",
            "at 09:00 and 17:30 on mon fri (Europe/Paris), one mail",
        ),
        (
            {"digest": {"quiet": "22:00-07:00", "days": "mon-tue", "collapse": "net"}},
            "every",
            "30s after the first change, at most every 5m to 30m, on mon tue (UTC), not from 22:00 to 07:00 (UTC), one",
        ),
        ({"digest": {"collapse": "net"}}, "every", "30s"),
    ],
)  # fmt: skip
def test_in_words(table, wants, mails):
    one = subscribe(**table)
    assert filters_in_words(one).startswith(wants)
    assert rules_in_words(one.rules).startswith(mails)
    assert rules_in_words(one.rules).endswith("what changed in the end") is one.rules.collapse
