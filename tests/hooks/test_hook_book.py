"""The daemon's book of hooks: a bad one harms nobody, and what the operator must know is said once (D8, D11, X04)."""

import json
import tracemalloc

import pytest

from kinto_notify.digest import DigestRules, Line
from kinto_notify.event import Event, parse_event
from kinto_notify.filing import file_event
from kinto_notify.hook import HookPolicy
from kinto_notify.hook_book import MAX_SLOW, HookBook
from support.events import change, event

POLICY = HookPolicy(recipient=lambda mailbox: mailbox.domain == "example.org", sender=lambda mailbox: False)


@pytest.fixture
def book() -> HookBook:
    return HookBook(DigestRules(), POLICY)


def carrying(*hooks: dict[str, object], **data: object) -> Event:
    carried = [
        {"home": "/buckets/b/collections/c", "key": "kinto-emailer", "index": index, "hook": hook}
        for index, hook in enumerate(hooks)
    ]
    return parse_event(json.dumps(event(hooks=carried, **data)))


def hook(**keys: object) -> dict[str, object]:
    return {"template": "x", "recipients": ["ann@example.org"], **keys}


def kinds(book: HookBook) -> list[tuple[str, str]]:
    return [(one.identity.rpartition("#")[2], one.kind) for one in book.remarks()]


def test_a_hook_that_cannot_be_read_is_skipped_and_told_once(book):
    told = carrying({"template": "{", "recipients": "all"}, hook(), {})
    for _ in range(3):
        (good,) = book.subscriptions(told)
        assert good.presentation.name == "emailer-1"
    assert kinds(book) == [("0", "unreadable"), ("2", "unreadable")]
    assert book.remarks() == []


def test_d11_refused_addresses_are_told(book):
    book.subscriptions(carrying(hook(recipients=["ann@example.org", "eve@evil.example"], sender="boss@example.org")))
    found = book.remarks()
    assert [(one.kind, one.detail) for one in found] == [
        ("recipient", "eve@evil.example"),
        ("sender", "boss@example.org"),
    ]


def test_d3_a_missing_name_is_empty_and_told_once(book):
    told = carrying(hook(template="<{comment}>"))
    for _ in range(2):
        (filing,) = file_event(told, book.subscriptions(told), tell=book.tell)
        assert Line.decode(filing.lines[0]).text == "<>"
    assert kinds(book) == [("emailer-0", "placeholder")]


def test_a_large_hook_that_is_edited_again_and_again_fills_no_memory(book):
    """Nor do those whose patterns run too long."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(300):
            (one,) = book.subscriptions(carrying(hook(template=f"{number} " + "ж" * 60_000)))
            book.tell(one, "slow", "too slow")
            book.remarks()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 48 * 1024 * 1024


def test_x04_a_hook_that_is_slow_again_and_again_is_switched_off_until_it_is_edited(book):
    evil = hook(id="^(a|aa)+$")
    told = carrying(evil, hook(), **{"changes": [change("a" * 40 + "!")]})
    for _ in range(MAX_SLOW):
        subscriptions = book.subscriptions(told)
        assert len(subscriptions) == 2
        # The harmless one beside it gets its change each time.
        assert len(file_event(told, subscriptions, tell=book.tell)) == 1
    assert [one.presentation.name for one in book.subscriptions(told)] == ["emailer-1"]
    assert kinds(book)[-1] == ("emailer-0", "switched_off")
    edited = carrying(evil | {"id": "^a+"}, hook())
    assert len(book.subscriptions(edited)) == 2


def test_a_hook_found_for_some_objects_hears_of_those_only(book):
    carried = {"home": "/buckets/b/collections/c1", "key": "kinto-emailer", "hook": hook(), "changes": ["c1"]}
    told = parse_event(json.dumps(event(change("c1"), change("c2"), resource_name="collection", hooks=[carried])))
    (filing,) = file_event(told, book.subscriptions(told))
    assert json.loads(filing.lines[0])[3] == "c1"
