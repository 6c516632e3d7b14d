"""The JSON Schemas say what is so: of what the reader takes, of what the listener writes, of what the file may hold."""

import dataclasses
import json
import tomllib

import pytest
from jsonschema import Draft202012Validator

from kinto_notify.cli import main
from kinto_notify.demo.servers import RedisServer
from kinto_notify.diff import FieldDiff
from kinto_notify.digest import Line
from kinto_notify.event import Change, Data, Event, parse_entry
from kinto_notify.event_schema import event_schema
from kinto_notify.filing import file_event
from kinto_notify.subscription_table import file_schema
from support.kinto_app import RECORDS, close, kinto_app, listening
from support.stream import StreamReader
from support.subscribed import subscribe

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


def test_what_a_real_kinto_writes_fits_the_schema_and_is_filed_by_a_subscription(tmp_path):
    with RedisServer(tmp_path) as server:
        app = kinto_app(listening(server.url, tmp_path / "spool"))
        stream = StreamReader(server.url)
        try:
            app.put_json("/v1/buckets/b", {"data": {"title": "Blog"}})
            app.put_json("/v1/buckets/b/collections/c")
            app.put_json(f"{RECORDS}/r", {"data": {"title": "A"}})
            app.patch_json(f"{RECORDS}/r", {"data": {"title": "B"}})
            app.delete("/v1/buckets/b")
            # Deleting the bucket tells of the bucket; how many entries more is not this test's.
            stream.wait(5)
            entries = [fields for _, fields in stream.client.xrange(stream.key)]
        finally:
            stream.close()
            close(app)
    check = Draft202012Validator(event_schema())
    for fields in entries:
        check.validate(json.loads(fields[b"event"]))
    wanted = subscribe(bucket_id="b", collection_id="^c", record_id="r", action="update", changed="/title")
    filings = [filing for fields in entries for filing in file_event(parse_entry(fields), [wanted])]
    (line,) = (Line.decode(text) for filing in filings for text in filing.lines)
    assert line.fields == (FieldDiff("/title", "A", "B"),)


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
