"""What people call a record, as the metadata of its collection hints it: by a real Kinto, without asking storage."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import webtest

from kinto_notify.outbox import naming
from kinto_notify.outbox.capture import Captured, Origin
from kinto_notify.outbox.naming import hints
from kinto_notify.outbox.split import entries
from support.kinto_app import RECORDS
from support.stream import StreamReader

COLLECTION = "/v1/buckets/b/collections/c"
SCHEMA = {
    "type": "object",
    "required": ["status", "day", "headline"],
    "properties": {
        "status": {"type": "string", "enum": ["draft", "published"]},
        "day": {"type": "string", "format": "date"},
        "headline": {"type": "string"},
        "n": {"type": "integer"},
    },
}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({}, (), id="nothing is hinted"),
        pytest.param({"displayFields": ["headline", "author"]}, ("/headline", "/author"), id="columns in their order"),
        pytest.param({"displayFields": ["status", "name", "title"]}, ("/title", "/name", "/status"), id="common first"),
        pytest.param(
            {"displayFields": ["id", "last_modified", "__json", "x"]}, ("/x",), id="columns that name nothing"
        ),
        pytest.param({"displayFields": ["author.name"]}, ("/author.name", "/author/name"), id="nested, or a dot"),
        pytest.param({"displayFields": ["a/b", "c~d"]}, ("/a~1b", "/c~0d"), id="escaped"),
        pytest.param({"schema": SCHEMA}, ("/headline",), id="the required free text"),
        pytest.param(
            {"schema": {"properties": {"title": {}, "slug": {"type": "string"}}, "required": ["slug"]}},
            ("/title", "/slug"),
            id="the schema has a common one",
        ),
        pytest.param(
            {
                "schema": {"properties": {name: {"type": "string"} for name in "abc"}, "required": ["c", "a", "b"]},
                "uiSchema": {"ui:order": ["b", "*", "c"]},
            },
            ("/b", "/c", "/a"),
            id="the form's order, then the schema's",
        ),
        pytest.param({"displayFields": ["n"], "schema": SCHEMA}, ("/n", "/headline"), id="columns before the schema"),
        pytest.param({"displayFields": "title", "schema": [1]}, (), id="no lists and objects"),
        pytest.param({"displayFields": [1, None, ["x"]], "schema": {"properties": 3, "required": {}}}, (), id="junk"),
        pytest.param({"displayFields": ["x" * 1000, "y"]}, ("/y",), id="a name too long"),
        pytest.param({"displayFields": [f"f{n}" for n in range(500)]}, tuple(f"/f{n}" for n in range(8)), id="many"),
    ],
)
def test_hints(metadata: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert hints(metadata) == expected


def test_a_record_is_called_as_its_schema_says(app: webtest.TestApp, stream: StreamReader) -> None:
    app.put_json(COLLECTION, {"data": {"schema": SCHEMA}})
    record = {"status": "draft", "day": "2026-11-29", "headline": " Rain at last "}
    app.put_json(f"{RECORDS}/r", {"data": record})
    app.patch_json(f"{RECORDS}/r", {"data": {"headline": "Sun"}})
    app.delete(f"{RECORDS}/r")
    told = [one["data"] for one in stream.wait(6)[3:]]
    assert [one["action"] for one in told] == ["create", "update", "delete"]
    assert [one["title_fields"] for one in told] == [["/headline"]] * 3
    assert [one["title"] for one in told] == ["Rain at last", "Sun", "Sun"]


def test_new_columns_count_from_the_next_write_on(app: webtest.TestApp, stream: StreamReader) -> None:
    for columns in (["a"], ["b.c"], []):
        app.patch_json(COLLECTION, {"data": {"displayFields": columns}})
        app.post_json(RECORDS, {"data": {"a": 7, "b": {"c": "nested"}}})
    told = [one["data"] for one in stream.wait(8)[2:] if one["data"]["resource_name"] == "record"]
    assert [one.get("title") for one in told] == ["7", "nested", None]
    assert "title_fields" not in told[2]


def test_each_record_of_a_batch_and_of_a_plural_delete(app: webtest.TestApp, stream: StreamReader) -> None:
    app.put_json(COLLECTION, {"data": {"displayFields": ["headline"]}})
    requests = [{"method": "POST", "path": RECORDS, "body": {"data": {"headline": f"No. {n}"}}} for n in range(3)]
    app.post_json("/v1/batch", {"requests": requests})
    app.delete(RECORDS)
    batch, deleted = stream.wait(5)[3:]
    for event in (batch, deleted):
        assert (event["data"]["total"], event["data"]["title_fields"]) == (3, ["/headline"])
    assert batch["data"]["title"] == "No. 0"


def test_in_the_default_bucket_they_count_where_it_is_called_by_its_id(
    make_app: Callable[..., webtest.TestApp], stream: StreamReader
) -> None:
    app = make_app(settings={"includes": "kinto.plugins.default_bucket"})
    app.put_json("/v1/buckets/default/collections/c", {"data": {"displayFields": ["headline"]}})
    own = stream.wait(2)[1]["data"]["bucket_id"]
    for bucket in ("default", own):
        app.post_json(f"/v1/buckets/{bucket}/collections/c/records", {"data": {"headline": "Mine"}})
    told = [one["data"] for one in stream.wait(4) if one["data"]["resource_name"] == "record"]
    # Under `default` Kinto itself does not read the metadata of a collection that is there.
    assert [one.get("title") for one in told] == [None, "Mine"]


def test_what_the_ini_redacts_is_no_title(make_app: Callable[..., webtest.TestApp], stream: StreamReader) -> None:
    app = make_app(redact="/headline /title")
    app.put_json("/v1/buckets/b")
    app.put_json(COLLECTION, {"data": {"displayFields": ["headline", "slug"]}})
    app.post_json(RECORDS, {"data": {"headline": "secret", "title": "secret too", "slug": "rain"}})
    event = stream.wait(3)[2]
    assert event["data"]["title"] == "rain"
    assert "secret" not in str(event)


def test_hints_of_an_event_in_parts_are_in_each_of_them() -> None:
    pointers = [f"/{'é' * 70}{n}" for n in range(8)]
    payload = {"action": "create", "resource_name": "record", "bucket_id": "b", "collection_id": "c"}
    impacted = [{"new": {"id": str(n), pointers[7][1:]: f"No. {n}", "text": "x" * 200_000}} for n in range(3)]
    origin = Origin("request", "http://localhost/v1/", "127.0.0.1", "curl/8")
    parts = [
        json.loads(one.body)["data"] for one in entries(Captured(1, "", payload, impacted, origin, titles=pointers))
    ]
    assert len(parts) == 3
    assert all((part["title_fields"], part["title"]) == (pointers, "No. 0") for part in parts)


def test_a_schema_that_names_nothing_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write must not walk it each time, whatever it says."""
    read: list[object] = []
    monkeypatch.setattr(naming, "hints", lambda metadata: read.append(metadata) or ())
    metadata = {"schema": {"required": ["n"]}, "last_modified": 1}
    request = SimpleNamespace(bound_data={"collections": {"/buckets/b/collections/c": metadata}})
    payload = {"resource_name": "record", "bucket_id": "b", "collection_id": "c"}
    known = naming.Naming()
    for _ in range(3):
        assert known.of(SimpleNamespace(request=request, payload=payload)) == ()
    assert read == [metadata]
