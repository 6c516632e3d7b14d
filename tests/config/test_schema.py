"""The JSON Schemas say what is so: of what the reader takes, of what the listener writes, of what the file may hold."""

import dataclasses
import json
import tomllib

import pytest
from jsonschema import Draft202012Validator

from kinto_notify.cli import main
from kinto_notify.event import Change, Data, Event
from kinto_notify.event_schema import event_schema
from kinto_notify.subscription_table import file_schema

ENTRY = {
    "specversion": "1.0",
    "id": "0193592c-7b55-7000-8000-000000000000",
    "source": "http://localhost:8888/v1/",
    "type": "org.kinto-storage.record.update",
    "subject": "/buckets/blog/collections/articles",
    "time": "2026-11-23T15:00:00.000Z",
    "datacontenttype": "application/json",
    "dataschema": "urn:kinto-notify:event:1",
    "data": {
        "action": "update",
        "resource_name": "record",
        "timestamp": 1,
        "user_id": "account:alice",
        "changes": [{"id": "r", "uri": "/r", "old": {"a": 1}, "new": {"a": 2}}],
    },
}


def test_the_events_schema_knows_every_word_that_the_reader_takes():
    schema = event_schema()
    data = schema["properties"]["data"]
    change = data["properties"]["changes"]["items"]
    for part, read in ((schema, Event), (data, Data), (change, Change)):
        names = {one.name for one in dataclasses.fields(read)}
        assert names <= set(part["properties"])
        assert all(one["description"] for one in part["properties"].values())


def test_the_events_schema_tells_right_from_wrong():
    Draft202012Validator.check_schema(event_schema())
    check = Draft202012Validator(event_schema())
    check.validate(ENTRY)
    check.validate({**ENTRY, "of_a_later_version": 1})
    for broken in (
        {**ENTRY, "specversion": "0.3"},
        {**ENTRY, "data": {}},
        {name: value for name, value in ENTRY.items() if name != "id"},
        {**ENTRY, "data": {**ENTRY["data"], "changes": [{"id": 3, "uri": "/r"}]}},
    ):
        assert not check.is_valid(broken)


@pytest.mark.parametrize(
    ("table", "valid"),
    [
        ('recipients = ["a@x.org"]', True),
        ('recipients = ["a@x.org"]\naction = ["create", "!^x"]\ndigest = { wait = "1s", max_events = 3 }', True),
        ('recipients = ["a@x.org"]\nwhere = { "/a" = [1, "^b"] }\ncontent = "none"', True),
        ("recipients = []", False),
        ('action = "create"', False),
        ('recipients = ["a@x.org"]\nactoin = "create"', False),
        ('recipients = ["a@x.org"]\ncontent = "some"', False),
        ('recipients = ["a@x.org"]\ndigest = { wait = 3 }', False),
    ],
)
def test_the_subscriptions_schema_tells_right_from_wrong(table, valid):
    Draft202012Validator.check_schema(file_schema())
    document = tomllib.loads("[[subscription]]\n" + table)
    assert Draft202012Validator(file_schema()).is_valid(document) is valid


def test_the_command_prints_both(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == event_schema()
    assert main(["schema", "--subscriptions"]) == 0
    assert json.loads(capsys.readouterr().out) == file_schema()
