"""Which changes a subscription wants, and what its digests get: from the written table to the filing."""

import json

import pytest

from kinto_notify.digest import Line
from kinto_notify.filing import file_event
from kinto_notify.pattern import PatternTimeout
from support.subscribed import happened, subscribe, wants


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"action": "update"}, True),
        ({"action": "create"}, False),
        ({"action": ["create", "update"]}, True),
        ({"action": "!update"}, False),
        ({"action": "!create"}, True),
        ({"action": ["!create", "!delete"]}, True),
        ({"action": ["update", "!update"]}, False),
        ({"resource_name": "record", "bucket_id": "blog", "collection_id": "articles"}, True),
        ({"resource_name": "record", "bucket_id": "shop"}, False),
        ({"collection_id": "art"}, False),
        ({"collection_id": "^art"}, True),
        ({"collection_id": "^rticles"}, False),
        ({"collection_id": "^art$"}, False),
        ({"collection_id": "!^art"}, False),
        ({"collection_id": "^(?!articles$)"}, False),
        ({"collection_id": ["^x", "^art", "!archive"]}, True),
        ({"id": "r1"}, True),
        ({"record_id": "r1"}, True),
        ({"record_id": "r2"}, False),
        ({"user_id": "!account:alice"}, False),
        ({"event": "kinto.core.events.ResourceChanged"}, True),
        # A word that the change does not have fails a positive filter and passes a negated one.
        ({"group_id": "editors"}, False),
        ({"group_id": "^"}, False),
        ({"group_id": "!editors"}, True),
    ],
)
def test_filters(filters, wanted):
    assert wants(subscribe(**filters), happened()) is wanted


def test_in_a_batch_the_change_itself_tells_its_id():
    event = happened({"id": "r1", "new": {}}, {"id": "r2", "new": {}}, record_id="r1")
    one = subscribe(record_id="r2")
    assert [one.refuses(event, change) for change in event.data.changes] == ["record_id", None]


def test_x04_a_pattern_that_runs_for_ever_does_not_hold_and_harms_no_other():
    hostile = subscribe(name="hostile", record_id="^(a|aa)+$")
    negated = subscribe(name="negated", record_id="!^(a|aa)+$")
    other = subscribe(name="other")
    event = happened({"id": "a" * 40 + "!", "new": {"title": "x"}})
    for slow in (hostile, negated):
        with pytest.raises(PatternTimeout, match=r"^record_id: .* took more than 50 ms"):
            slow.refuses(event, event.data.changes[0])
    told = []
    heard = lambda who, kind, why: told.append((who.identity, why))  # noqa: E731
    (filing,) = file_event(event, [hostile, negated, other], tell=heard)
    assert filing.key.identity == other.identity
    assert [who for who, _ in told] == [hostile.identity, negated.identity]


def test_x04_five_hundred_changes_cost_one_timeout():
    hostile = subscribe(name="hostile", record_id="^(a|aa)+$")
    event = happened(*({"id": "a" * 40 + f"!{n}", "new": {}} for n in range(500)))
    told = []
    assert file_event(event, [hostile], tell=lambda who, kind, why: told.append(why)) == []
    assert len(told) == 1


def test_x04_in_where_as_well():
    one = subscribe(where={"/title": "^(a|aa)+$"})
    event = happened({"id": "r", "new": {"title": "a" * 40 + "!"}})
    with pytest.raises(PatternTimeout, match=r"^where /title: .* took more than 50 ms"):
        one.refuses(event, event.data.changes[0])


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"/status": "published"}, True),
        ({"/status": "draft"}, False),
        ({"/status": ["draft", "published"]}, True),
        ({"/status": "^pub"}, True),
        ({"/status": ["draft", "^pub"]}, True),
        ({"/status": "^ublished"}, False),
        # Only filter words are negated; here it is a text like others.
        ({"/status": "!draft"}, False),
        ({"/price": 12}, True),
        ({"/price": 12.0}, True),
        ({"/price": "12"}, False),
        ({"/price": True}, False),
        ({"/live": True}, True),
        ({"/live": 1}, False),
        ({"/tags/1": "b"}, True),
        ({"/tags/-1": "b"}, False),
        ({"/a~1b/c~0d": "deep"}, True),
        ({"/none": None}, True),
        ({"/missing": None}, False),
        ({"/status": "published", "/price": 13}, False),
    ],
)
def test_where(where, wanted):
    new = {"status": "published", "price": 12, "live": True, "tags": ["a", "b"], "a/b": {"c~d": "deep"}, "none": None}
    assert wants(subscribe(where=where), happened({"id": "r", "old": {}, "new": new})) is wanted


def test_where_looks_at_the_old_object_of_a_delete():
    event = happened({"id": "r", "old": {"status": "published"}, "new": {"deleted": True}}, action="delete")
    assert wants(subscribe(where={"/status": "published"}), event)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ("/price", True),
        (["/title", "/price"], True),
        ("/title", False),
        ("/missing", False),
        ("/added", True),
        ("", True),
    ],
)
def test_changed(changed, wanted):
    event = happened({"id": "r", "old": {"title": "A", "price": 1}, "new": {"title": "A", "price": 2, "added": None}})
    assert wants(subscribe(changed=changed), event) is wanted


def test_changed_on_create_and_delete():
    assert wants(subscribe(changed="/price"), happened({"id": "r", "new": {"price": 1}}, action="create"))
    assert not wants(subscribe(changed="/price"), happened({"id": "r", "new": {"title": "x"}}, action="create"))
    gone = {"id": "r", "old": {"price": 1}, "new": {"deleted": True}}
    assert wants(subscribe(changed="/price"), happened(gone, action="delete"))


def test_exclude_actor_leaves_out_whose_address_is_the_actors_id():
    one = subscribe(recipients=["alice@example.org", "Bob <bob@example.org>"], exclude_actor=True)
    by_alice = happened(user_id="account:Alice@example.org")
    assert [filing.key.audience for filing in file_event(by_alice, [one])] == ["bob@example.org"]
    assert len(file_event(happened(user_id="account:carol@example.org"), [one])) == 2
    assert len(file_event(happened(user_id=""), [one])) == 2


def test_redact_hides_the_value_and_what_is_below_it():
    old = {"password": "old-secret", "profile": {"email": "old-secret@x.org", "city": "Lille"}, "title": "A"}
    new = {"password": "new-secret", "profile": {"email": "new-secret@x.org", "city": "Paris"}, "title": "B"}
    one = subscribe(redact=["/password", "/profile/email"])
    (filing,) = file_event(happened({"id": "r", "old": old, "new": new}), [one])
    assert "secret" not in "".join(filing.lines)
    (line,) = (Line.decode(text) for text in filing.lines)
    assert [field.pointer for field in line.fields] == ["/profile/city", "/title"]
    (whole,) = file_event(happened({"id": "r", "old": old, "new": new}), [subscribe(redact="/profile")])
    assert "old-secret@x.org" not in "".join(whole.lines)
    assert "Lille" not in "".join(whole.lines)


def test_a_redacted_title_is_not_in_the_line_either():
    event = happened({"id": "r", "old": {"title": "secret-1"}, "new": {"title": "secret-2"}}, title="secret-2")
    (filing,) = file_event(event, [subscribe(redact="/title")])
    assert "secret" not in "".join(filing.lines)


def test_content_none_keeps_no_data_at_all():
    event = happened({"id": "r", "old": {"title": "secret-1"}, "new": {"title": "secret-2"}}, title="secret-2")
    (filing,) = file_event(event, [subscribe(content="none")])
    assert "secret" not in json.dumps([filing.lines, filing.counts, filing.key.text])
    assert filing.counts == {"record update": 1}


def test_addresses_in_the_record_go_by_audience_and_by_policy():
    one = subscribe(recipients=["{new[/author]}", "{new[/readers]}", "editors@example.org"])
    new = {"author": "Ann <ann@example.org>", "readers": ["bob@evil.test", "not an address", 3, "ann@example.org"]}
    event = happened({"id": "r", "new": new})
    filings = file_event(event, [one], lambda mailbox: mailbox.domain == "example.org")
    assert [filing.key.audience for filing in filings] == ["*", "ann@example.org"]


def test_group_by():
    event = happened({"id": "r1", "new": {}}, {"id": "r2", "new": {}}, {"id": "r3", "new": {}}, request_id="q")
    groups = {
        words: [filing.key.group for filing in file_event(event, [subscribe(digest={"group_by": list(words)})])]
        for words in ((), ("bucket_id", "collection_id"), ("request_id",), ("change",), ("group_id",))
    }
    assert groups[()] == [()]
    assert groups["bucket_id", "collection_id"] == [(("bucket_id", "blog"), ("collection_id", "articles"))]
    assert groups["request_id",] == [(("request_id", "q"),)]
    assert groups["change",] == [(("change", "r1"),), (("change", "r2"),), (("change", "r3"),)]
    assert groups["group_id",] == [(("group_id", ""),)]


def test_totals_are_of_all_and_lines_of_max_listed():
    event = happened(*({"id": f"r{n}", "new": {}} for n in range(20)))
    (filing,) = file_event(event, [subscribe(digest={"max_listed": 3})])
    assert filing.counts == {"record update": 20}
    assert len(filing.lines) == 3


def test_a_change_of_redacted_fields_alone_is_told_without_naming_them():
    one = subscribe(redact=["/secret", "/profile/email"])
    old = {"id": "r", "title": "A", "secret": 1, "profile": {"email": "a@x.org"}, "last_modified": 1}
    cases = [
        ({**old, "secret": 2, "last_modified": 2}, (), True),
        ({**old, "profile": {"email": "b@x.org"}}, (), True),
        ({**old, "secret": 2, "title": "B"}, ("/title",), True),
        ({**old, "title": "B"}, ("/title",), False),
        ({**old, "last_modified": 2}, (), False),
    ]
    for new, fields, hidden in cases:
        (filing,) = file_event(happened({"id": "r", "old": old, "new": new}), [one])
        line = Line.decode(filing.lines[0])
        assert (tuple(field.pointer for field in line.fields), line.hidden) == (fields, hidden)
        assert "secret" not in filing.lines[0]
        assert "email" not in filing.lines[0]
