"""Hooks in metadata: found in the transaction, carried by the event, checked on their way in; on a real Kinto."""

import sys
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import webtest

from kinto_notify.event import parse_entry
from kinto_notify.outbox.hooks import HookFinder
from kinto_notify.placeholder import render
from support.kinto_app import RECORDS
from support.stream import StreamReader

BUCKET, COLLECTION = "/v1/buckets/b", "/v1/buckets/b/collections/c"
HOOK = {"template": "{id}", "recipients": ["ann@example.org"]}

MakeApp = Callable[..., webtest.TestApp]


@pytest.fixture
def app(make_app: MakeApp) -> webtest.TestApp:
    return make_app(hooks="true", settings={"project_name": "Our Kinto"})


def emailer(*hooks: dict[str, Any], **section: Any) -> dict[str, Any]:
    return {"kinto-emailer": {"hooks": list(hooks), **section}}


def ours(*hooks: dict[str, Any], **section: Any) -> dict[str, Any]:
    return {"kinto-notify": {"hooks": list(hooks), **section}}


def carried(stream: StreamReader, number: int) -> list[tuple[str, str, int]]:
    """The hooks of the last of so many events, as every reader of the stream gets them."""
    stream.wait(number)
    (_, fields) = stream.client.xrevrange(stream.key, count=1)[0]
    return [(hook.home, hook.key, hook.index) for hook in parse_entry(fields).data.hooks]


def test_a_records_hooks_are_its_collections_or_else_its_buckets(app, stream):
    app.put_json(BUCKET, {"data": emailer(HOOK)})
    app.put_json(COLLECTION)
    app.put_json(f"{RECORDS}/r1")
    assert carried(stream, 3) == [("/buckets/b", "kinto-emailer", 0)]
    app.put_json(COLLECTION, {"data": emailer(HOOK, HOOK)})
    app.put_json(f"{RECORDS}/r2")
    home = "/buckets/b/collections/c"
    assert carried(stream, 5) == [(home, "kinto-emailer", 0), (home, "kinto-emailer", 1)]
    app.put_json(COLLECTION, {"data": emailer()})
    app.put_json(f"{RECORDS}/r3")
    assert carried(stream, 7) == []


def test_inherit_takes_both_and_the_two_keys_are_apart(app, stream):
    app.put_json(BUCKET, {"data": emailer(HOOK) | ours({"recipients": ["a@example.org"]})})
    app.put_json(COLLECTION, {"data": emailer(HOOK, inherit=True) | ours()})
    app.put_json(f"{RECORDS}/r1")
    assert carried(stream, 3) == [("/buckets/b/collections/c", "kinto-emailer", 0), ("/buckets/b", "kinto-emailer", 0)]


def test_d5_each_collection_of_a_batch_has_its_own_hooks(app, stream):
    app.put_json(BUCKET, {"data": emailer(HOOK)})
    requests = [
        {"method": "PUT", "path": "/buckets/b/collections/c1", "body": {"data": emailer(HOOK)}},
        {"method": "PUT", "path": "/buckets/b/collections/c2"},
        {"method": "PUT", "path": "/buckets/b/collections/c3"},
    ]
    app.post_json("/v1/batch", {"requests": requests})
    found = {hook["home"]: hook["changes"] for hook in stream.wait(2)[-1]["data"]["hooks"]}
    assert found == {"/buckets/b/collections/c1": ["c1"], "/buckets/b": ["c2", "c3"]}


def test_a_collections_own_hooks_hear_of_its_end_and_not_of_their_own_removal(app, stream):
    app.put_json(BUCKET)
    app.put_json(COLLECTION, {"data": emailer(HOOK)})
    assert carried(stream, 2) == [("/buckets/b/collections/c", "kinto-emailer", 0)]
    app.put_json(COLLECTION, {"data": {}})
    assert carried(stream, 3) == []
    app.put_json(COLLECTION, {"data": emailer(HOOK)})
    app.delete(COLLECTION)
    assert carried(stream, 5) == [("/buckets/b/collections/c", "kinto-emailer", 0)]


def test_buckets_and_groups_are_for_our_own_hooks_alone(app, stream):
    both = emailer(HOOK) | ours({"recipients": ["a@example.org"]})
    app.put_json(BUCKET, {"data": both})
    assert carried(stream, 1) == [("/buckets/b", "kinto-notify", 0)]
    app.put_json(f"{BUCKET}/groups/g", {"data": {"members": ["a:b@example.org"]}})
    assert carried(stream, 2) == [("/buckets/b", "kinto-notify", 0)]


def test_k18_the_end_of_a_bucket_is_told_to_the_hooks_of_its_collections(app, stream):
    app.put_json(BUCKET)
    app.put_json(COLLECTION, {"data": ours({"recipients": ["a@example.org"]}) | emailer(HOOK)})
    app.put_json(f"{RECORDS}/r1")
    app.delete(BUCKET)
    assert carried(stream, 4) == [("/buckets/b/collections/c", "kinto-notify", 0)]
    assert stream.events()[-1]["data"]["children"] == {"collection": 1, "record": 1}


def test_groups_are_expanded_once_and_only_of_the_hooks_own_bucket(app, stream):
    app.put_json("/v1/buckets/other")
    app.put_json("/v1/buckets/other/groups/g", {"data": {"members": ["x:eve@example.org"]}})
    app.put_json(BUCKET)
    app.put_json(f"{BUCKET}/groups/g", {"data": {"members": ["ldap:ann@example.org", "fxa:1"]}})
    app.put_json(f"{BUCKET}/groups/c-reviewers", {"data": {"members": ["rev@example.org"]}})
    groups = ["/buckets/b/groups/g", "/buckets/b/groups/{collection_id}-reviewers", "/buckets/b/groups/none"]
    app.put_json(COLLECTION, {"data": emailer({**HOOK, "recipients": groups})})
    app.put_json(f"{RECORDS}/..%2f", status="*")
    app.put_json(f"{RECORDS}/r1")
    (hook,) = stream.wait(7)[-1]["data"]["hooks"]
    assert hook["groups"] == {
        "/buckets/b/groups/g": ["ldap:ann@example.org", "fxa:1"],
        "/buckets/b/groups/c-reviewers": ["rev@example.org"],
    }


def test_x02_a_writer_waits_for_no_more_than_so_many_groups() -> None:
    """A thousand groups with placeholders over a plural delete would be 100,000 URIs to write out."""
    written = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal written
        written += event == "call" and frame.f_code is render.__code__

    recipients = [f"/buckets/b/groups/{{id:>{width}}}" for width in range(1_000)]
    metadata = ours({"recipients": recipients})
    finder = HookFinder(lambda resource, *_: metadata if resource == "bucket" else None, lambda _: [], {}, print)
    payload = {"action": "delete", "resource_name": "record", "bucket_id": "b", "collection_id": "c"}
    deleted = SimpleNamespace(payload=payload, impacted_objects=[{"old": {"id": f"r{n}"}} for n in range(500)])
    sys.setprofile(count)
    try:
        found = finder.find(deleted)
    finally:
        sys.setprofile(None)
    assert len(found["hooks"]) == 1
    assert 100 <= written <= 1_000


def test_the_settings_that_a_text_may_show_travel_only_where_a_text_names_them(app, stream):
    app.put_json(BUCKET, {"data": emailer({**HOOK, "template": "{settings[project_name]}"})})
    app.put_json(COLLECTION)
    assert stream.wait(2)[-1]["data"]["settings"]["project_name"] == "Our Kinto"
    app.put_json(COLLECTION, {"data": emailer(HOOK)})
    assert "settings" not in stream.wait(3)[-1]["data"]


@pytest.mark.filterwarnings("ignore:.*FileIO:pytest.PytestUnraisableExceptionWarning")  # WebOb's, of a large body
def test_hooks_that_found_no_room_are_left_out_and_the_change_is_told(make_app, stream, caplog):
    # Stored before hooks were checked.
    before = make_app(settings={"event_listeners": ""})
    fat = {**HOOK, "template": "x" * 60_000}
    before.put_json(BUCKET, {"data": emailer(fat, fat, HOOK)})
    after = make_app(hooks="true")
    after.app.registry.storage = before.app.registry.storage
    after.app.registry.permission = before.app.registry.permission
    after.put_json(COLLECTION, {"data": {"text": "y" * 220_000}})
    (told,) = stream.wait(1)
    assert [hook["index"] for hook in told["data"]["hooks"]] == [0, 2]
    assert "too large; /buckets/b#1 is left out" in caplog.text
    assert told["data"]["changes"][0]["truncated"]


# Kinto's root page leaves the ini that it finds open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_the_setting_no_hook_is_looked_at(make_app, stream):
    app = make_app()
    app.put_json(BUCKET, {"data": {"kinto-emailer": "whatever"}})
    assert "hooks" not in stream.wait(1)[-1]["data"]
    assert "emailer" not in app.get("/v1/").json["capabilities"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_is_announced(app):
    capabilities = app.get("/v1/").json["capabilities"]
    assert capabilities["emailer"] == {
        "description": "Provide emailing capabilities to the server.",
        "url": "https://github.com/Kinto/kinto-emailer/",
    }
    assert "metadata" in capabilities["notify"]["description"]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({}, 'Missing "hooks".'),
        ({"hooks": [{}]}, 'Missing "template".'),
        ({"hooks": [HOOK, {"template": "x", "recipients": []}, {}]}, "Empty list of recipients."),
        ({"hooks": [{"template": "x"}]}, "Empty list of recipients."),
        ({"hooks": [{"template": "x", "recipients": ["a@b", " a@b", "x"]}]}, "Invalid recipients  a@b, x"),
        ({"hooks": [{"template": "x", "recipients": "a@b."}]}, "Invalid recipients a, @, b, ."),
        (
            {"hooks": [{"template": "x", "recipients": ["/buckets/{bucket_id}/groups/g", "/buckets/x/groups/g"]}]},
            "Invalid bucket for groups /buckets/{bucket_id}/groups/g, /buckets/x/groups/g",
        ),
        (
            {"hooks": [{"template": "x", "recipients": ["/buckets/bb/groups/g"]}]},
            "Invalid bucket for groups /buckets/bb/groups/g",
        ),
    ],
)
@pytest.mark.parametrize("uri", [BUCKET, COLLECTION])
def test_what_kinto_emailer_refuses_is_refused_in_its_words(app, uri, section, told):
    app.put_json(BUCKET)
    answer = app.put_json(uri, {"data": {"kinto-emailer": section}}, status=400).json
    assert (answer["errno"], answer["error"], answer["message"]) == (107, "Invalid parameters", f"body: {told}")
    assert answer["details"] == [{"location": "body", "name": None, "description": told}]


def test_k20_all_that_kinto_emailer_stumbles_over_later_is_refused_at_once_and_writes_go_on(app, stream):
    app.put_json(BUCKET)
    app.put_json(COLLECTION, {"data": emailer(HOOK)})
    wrong = {
        "template": "{user_id.__class__} {",
        "subject": "a\nBcc: x",
        "recipients": ["ann@example.org", "<a@b.c>\r\nBcc: x"],
        "id": "^(",
        "action": ["create"],
    }
    answer = app.patch_json(COLLECTION, {"data": emailer(HOOK, wrong, 3)}, status=400).json
    told = [detail["description"] for detail in answer["details"]]
    assert len(told) == 6
    for part in (
        "hook 2: template: ",
        "hook 2: subject: ",
        "recipients[1]",
        "hook 2: id: ",
        "action: ",
        "hook 3: must be",
    ):
        assert any(part in line for line in told), part
    # Memory storage takes nothing back, so the wrong ones are there now: they harm nothing.
    app.put_json(f"{RECORDS}/r1", status=201)
    assert carried(stream, 3)[0] == ("/buckets/b/collections/c", "kinto-emailer", 0)


@pytest.mark.parametrize(
    "section", [None, "x", {"hooks": None}, {"hooks": "x"}, {"hooks": {}}, {"hooks": [HOOK] * 101}]
)
@pytest.mark.parametrize("key", ["kinto-emailer", "kinto-notify"])
def test_wrong_types_are_refused_not_stumbled_over(app, key, section):
    answer = app.put_json(BUCKET, {"data": {key: section}}, status=400).json
    assert answer["details"][0]["description"].startswith(key)


def test_our_own_key_is_checked_as_the_operators_file_is(app):
    hook = {"recipients": ["a@example.org"], "acton": "create", "digest": {"wait": "soon"}}
    answer = app.put_json(BUCKET, {"data": ours(hook, hok=1)}, status=400).json
    told = "\n".join(detail["description"] for detail in answer["details"])
    assert "did you mean action?" in told
    assert "digest.wait" in told
    assert "kinto-notify.hok" in told


def test_hooks_stored_before_us_harm_no_write(make_app, stream):
    before = make_app(settings={"event_listeners": ""})
    for number, section in enumerate([None, "x", {"hooks": None}, {"hooks": [None, 3, {"recipients": {}}]}]):
        before.put_json(f"/v1/buckets/b{number}", {"data": {"kinto-emailer": section, "kinto-notify": section}})
    after = make_app(hooks="true")
    after.app.registry.storage = before.app.registry.storage
    after.app.registry.permission = before.app.registry.permission
    for number in range(4):
        after.put_json(f"/v1/buckets/b{number}/collections/c", status=201)
        after.put_json(f"/v1/buckets/b{number}/collections/c/records/r", status=201)
    stream.wait(8)
    for _, fields in stream.client.xrange(stream.key):
        parse_entry(fields)
