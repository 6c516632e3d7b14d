"""Hooks as metadata has them → subscriptions: the two dialects, groups, the operator's policy."""

import json

import pytest

from kinto_notify.digest import DigestRules, Line
from kinto_notify.event import CarriedHook, Event, parse_event
from kinto_notify.filing import file_event
from kinto_notify.hook import Hook, HookPolicy, parse_hook
from kinto_notify.hook_text import EVENT_WORK
from kinto_notify.subscription_text import SubscriptionError
from support.events import change, event

HOME = "/buckets/b/collections/c"
OPEN = HookPolicy(recipient=lambda mailbox: True, sender=lambda mailbox: True)
STAFF = HookPolicy(
    recipient=lambda mailbox: mailbox.domain == "example.org", sender=lambda mailbox: mailbox.key == "desk@example.org"
)


def emailer(policy: HookPolicy = OPEN, groups: dict[str, tuple[str, ...]] | None = None, **hook: object) -> Hook:
    written = {"template": "{action} {id}", "recipients": ["ann@example.org"], **hook}
    return parse_hook(
        CarriedHook(HOME, written, "kinto-emailer", 0, groups or {}), defaults=DigestRules(), policy=policy
    )


def ours(policy: HookPolicy = OPEN, groups: dict[str, tuple[str, ...]] | None = None, **hook: object) -> Hook:
    written = {"recipients": ["ann@example.org"], **hook}
    return parse_hook(
        CarriedHook(HOME, written, "kinto-notify", 0, groups or {}), defaults=DigestRules(), policy=policy
    )


def problems(key: str, hook: dict[str, object]) -> str:
    with pytest.raises(SubscriptionError) as caught:
        parse_hook(CarriedHook(HOME, hook, key), defaults=DigestRules(), policy=OPEN)
    return "\n".join(caught.value.problems)


def happened(*changes: dict[str, object], **data: object) -> Event:
    return parse_event(json.dumps(event(*changes, **data)))


def wants(hook: Hook, told: Event) -> bool:
    return hook.subscription.refuses(told, told.data.changes[0]) is None


def recipients(hook: Hook, told: Event) -> list[str]:
    found = [mailbox.address for filing in file_event(told, [hook.subscription]) for mailbox in filing.recipients]
    return sorted(found)


def lines(hook: Hook, told: Event) -> list[tuple[str | None, str | None]]:
    filed = [Line.decode(line) for filing in file_event(told, [hook.subscription]) for line in filing.lines]
    return [(line.subject, line.text) for line in filed]


def test_a_drop_in_mails_each_change_at_once_with_its_own_texts():
    hook = emailer(
        subject="New {resource_name}", template="{user_id} {action}d {bucket_id}/{collection_id}/{id}\n{uri}"
    )
    told = happened(change("r1"), change("r2"))
    assert (hook.subscription.rules.wait, hook.subscription.rules.interval) == (0, 0)
    assert len(file_event(told, [hook.subscription])) == 2
    assert lines(hook, told) == [
        ("New record", "account:alice created b/c/r1\n/buckets/b/collections/c/records/r1"),
        ("New record", "account:alice created b/c/r2\n/buckets/b/collections/c/records/r2"),
    ]


def test_two_changes_of_one_object_are_two_mails():
    hook = emailer()
    first, second = happened(change("r1")), happened(change("r1"), change("r1"), action="update")
    keys = {filing.key.id for told in (first, second) for filing in file_event(told, [hook.subscription])}
    assert len(keys) == 3


def test_a_drop_in_with_a_digest_table_gathers():
    hook = emailer(digest={"wait": "1m"})
    assert len(file_event(happened(change("r1"), change("r2")), [hook.subscription])) == 1


def test_no_subject_is_kinto_emailers_and_an_empty_body_is_a_body():
    assert lines(emailer(template=""), happened()) == [("New message", "")]


def test_a_hook_of_ours_needs_no_texts():
    assert lines(ours(), happened()) == [(None, None)]
    assert lines(ours(subject="{id}!"), happened()) == [("r1!", None)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"action": "create"}, True),
        ({"action": "created"}, False),
        ({"action": "^cre.*|upd"}, True),
        ({"action": "!create"}, False),
        ({"action": "!update"}, False),
        ({"resource_name": "record", "collection_id": "c", "record_id": "r1", "id": "r1"}, True),
        ({"record_id": "^r\\d$"}, True),
        ({"record_id": "r"}, False),
        ({"event": "kinto.core.events.ResourceChanged"}, True),
        ({"event": "kinto.core.events.AfterResourceChanged"}, True),
        ({"event": "^kinto.core.events.After"}, True),
        ({"event": "kinto_signer.events.ReviewRequested"}, False),
        ({"whatever": ["is", {"ignored": 1}]}, True),
    ],
)
def test_the_filters_of_a_drop_in(filters, expected):
    assert wants(emailer(**filters), happened()) is expected


def test_a_change_of_the_collection_has_the_literal_record_id():
    told = happened(change("c"), resource_name="collection", record_id=None)
    assert not wants(emailer(record_id="r1"), told)
    assert wants(emailer(record_id="{record_id}"), told)
    assert lines(emailer(template="{record_id} {collection_id}"), told) == [("New message", "{record_id} c")]


def test_groups_bring_their_members_that_are_addresses_once_each():
    groups = {"/buckets/b/groups/g": ("ldap:bob@example.org", "fxa:123", "ANN@example.org", "cy@x", "system.Everyone")}
    hook = emailer(groups=groups, recipients=["ann@example.org", "/buckets/b/groups/g", "/buckets/b/groups/unknown"])
    assert recipients(hook, happened()) == ["ann@example.org", "bob@example.org", "cy@x"]


def test_a_group_that_the_change_names():
    groups = {"/buckets/b/groups/c-reviewers": ("a:rev@example.org",), "/buckets/other/groups/c-reviewers": ("x@y.z",)}
    hook = emailer(groups=groups, recipients=["/buckets/b/groups/{collection_id}-reviewers"])
    assert recipients(hook, happened()) == ["rev@example.org"]
    assert recipients(hook, happened(collection_id="d")) == []


def test_x07_a_group_of_another_bucket_is_refused():
    hook = {"template": "", "recipients": ["/buckets/bb/groups/g", "/buckets/{bucket_id}/groups/g"]}
    assert problems("kinto-emailer", hook).count("is a group of another bucket") == 2


def test_an_object_id_with_a_slash_leads_to_no_other_bucket():
    groups = {"/buckets/other/groups/g": ("x@y.z",)}
    hook = ours(groups=groups, recipients=["/buckets/b/groups/{record_id}"])
    assert recipients(hook, happened(change("../../other/groups/g"))) == []


def test_the_policy_keeps_a_hook_from_others_inboxes():
    groups = {"/buckets/b/groups/g": ("ldap:out@elsewhere.net", "ldap:in@example.org")}
    hook = emailer(STAFF, groups, recipients=["ann@example.org", "eve@evil.example", "/buckets/b/groups/g"])
    assert recipients(hook, happened()) == ["ann@example.org", "in@example.org"]
    assert sorted(one.address for one in hook.refused) == ["eve@evil.example", "out@elsewhere.net"]


def test_x06_the_sender_is_within_the_policy_or_not_used():
    allowed = emailer(STAFF, sender="The desk <desk@example.org>")
    assert allowed.subscription.presentation.sender == "The desk <desk@example.org>"
    spoofed = emailer(STAFF, sender="boss@example.org")
    assert spoofed.subscription.presentation.sender is None
    assert spoofed.refused_sender is not None
    assert spoofed.subscription.presentation == type(spoofed.subscription.presentation).from_text(
        spoofed.subscription.text
    )


def test_an_address_from_the_record():
    hook = ours(STAFF, recipients=["{new[/author]}"])
    told = happened(change("r1", new={"id": "r1", "author": "ann@example.org"}))
    assert recipients(hook, told) == ["ann@example.org"]


def test_redacted_values_and_no_content_hold_for_texts_too():
    secret = change("r1", new={"id": "r1", "pin": "4711", "more": {"pin": "0815", "open": "yes"}})
    told = happened(secret, extra={"comment": "because 4711"})
    text = "{impacted_objects[0][new][pin]} {impacted_objects} {comment}"
    (_, shown) = lines(ours(template="{impacted_objects}", redact=["/pin", "/more/pin"]), told)[0]
    assert "4711" not in shown
    assert "0815" not in shown
    assert "yes" in shown
    assert lines(ours(template=text, content="none"), told)[0][1].strip() == ""


def test_extras_of_further_events_are_placeholders_and_override_nothing():
    told = happened(extra={"comment": "please", "changes_count": 3, "action": "lie"}, event="signer.ReviewRequested")
    hook = emailer(event="signer.ReviewRequested", template="{comment} {changes_count} {action}")
    assert lines(hook, told) == [("New message", "please 3 create")]


def test_addresses_as_kinto_emailer_reads_them():
    hook = emailer(recipients=["Joe <joe@localhost> junk", "a@b", '"Ann B" <ann@example.org>'])
    assert recipients(hook, happened()) == ["a@b", "ann@example.org", "joe@localhost"]


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ({"recipients": ["a@b.c"]}, "template: is required"),
        ({"template": "x"}, "recipients: is required"),
        ({"template": "x", "recipients": []}, "recipients: must name at least one"),
        ({"template": "x", "recipients": "a@b.c"}, "recipients: must be a list"),
        ({"template": 3, "recipients": ["a@b.c"]}, "template: must be text"),
        ({"template": "{a", "recipients": ["a@b.c"]}, "template: expected '}'"),
        ({"template": "x", "recipients": ["<a@b.c>\r\nBcc: x@y.z"]}, "one line"),
        ({"template": "x", "recipients": ["a@b.c\n"]}, "one line"),
        ({"template": "x", "recipients": [3]}, "must be text"),
        ({"template": "x", "recipients": ["a@b.c"], "subject": "a\r\nBcc: x"}, "subject: must be one line"),
        ({"template": "x", "recipients": ["a@b.c"], "action": ["create"]}, "action: must be text"),
        ({"template": "x", "recipients": ["a@b.c"], "record_id": "^("}, "record_id: "),
        ({"template": "x", "recipients": ["a@b.c"], "record_id": "^" + "a" * 300}, "at most 200"),
        ({"template": "x", "recipients": [f"a{n}@b.c" for n in range(1_001)]}, "recipients: "),
        ({"template": "x", "recipients": ["a@b.c"], "sender": "nobody"}, "sender: "),
    ],
)
def test_what_is_wrong_in_a_drop_ins_hook(hook, told):
    assert told in problems("kinto-emailer", hook)


def test_all_that_is_wrong_at_once_and_unknown_keys_in_ours():
    found = problems("kinto-notify", {"recipients": ["x"], "acton": "create", "where": {"status": 1}, "template": "{"})
    assert len(found.splitlines()) == 4
    assert "did you mean action?" in found


def test_an_edited_hook_is_another_text_and_new_members_are_not():
    one = emailer(groups={"/buckets/b/groups/g": ("a@b.c",)}, recipients=["/buckets/b/groups/g"])
    other = emailer(groups={"/buckets/b/groups/g": ("d@b.c",)}, recipients=["/buckets/b/groups/g"])
    edited = emailer(template="another")
    assert one.subscription.text == other.subscription.text
    assert len({emailer().subscription.text, edited.subscription.text, one.subscription.text}) == 3
    assert emailer().subscription.identity == edited.subscription.identity != ours().subscription.identity


def test_x02_texts_cost_an_event_no_more_than_their_share():
    """Five hundred changes whose texts repeat all of them; what has no room is told as without a text."""
    told = happened(*(change(f"r{number}", new={"id": f"r{number}", "text": "x" * 300}) for number in range(500)))
    greedy = emailer(template="{impacted_objects}").subscription
    many = emailer(template="".join(f"{{impacted_objects[{number}]:.0}}" for number in range(500))).subscription
    modest = emailer(template="{action} {id}").subscription
    remarks: list[str] = []
    filings = file_event(told, [greedy, many, modest], tell=lambda _, __, detail: remarks.append(detail))
    assert len(filings) == 1500
    texts = [[Line.decode(line).text for one in filings[at : at + 500] for line in one.lines] for at in (0, 500, 1000)]
    assert sum(len(text or "") for listed in texts for text in listed) < EVENT_WORK
    for listed in texts[:2]:
        assert listed[0] is not None
        assert listed[-1] is None
    assert texts[2][-1] == "create r499"
    assert {remark.partition(":")[0] for remark in remarks} == {"too much text for one event"}
