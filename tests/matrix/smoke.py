"""End to end on the Kinto or Cliquet of another environment: `make test-matrix` makes them and runs this.

Written over HTTP to the real program, read from a real Redis. `MATRIX` names the environments' directory. Not collected
by `make test`.
"""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from matrix.project import Project
from support.stream import StreamReader, eventually

PLACE = Path(os.environ.get("MATRIX", "build/matrix"))
ENVIRONMENTS = sorted(path.stem for path in Path(__file__).parent.glob("*.txt"))
#: Cliquet wants UUIDs; the obstacle goes by what an id begins with.
A, B = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Project]:
    with Project(tmp_path_factory.mktemp("project"), redis_server.url, PLACE / request.param) as made:
        for path in made.flavour.prepare:
            assert made.request("PUT", path)[0] == 201
        yield made


@pytest.fixture
def stream(project: Project, redis_server: RedisServer) -> Iterator[StreamReader]:
    """The stream, emptied of what went before: a mark, written last, has come through."""
    reader = StreamReader(redis_server.url)
    mark = str(uuid.uuid4())
    put(project, mark)
    eventually(lambda: mark in [change["id"] for _, change in reader.changes()])
    reader.client.delete(reader.key)
    yield reader
    reader.close()


def put(project: Project, ident: str, name: str = "x") -> int:
    body = json.dumps({"data": {"name": name}}).encode()
    return project.request("PUT", f"{project.flavour.objects}/{ident}", body)[0]


def test_create_update_delete(project: Project, stream: StreamReader) -> None:
    uri = f"{project.flavour.objects}/{A}"
    assert [put(project, A, name=name) for name in ("morel", "truffle")] == [201, 200]
    assert project.request("DELETE", uri)[0] == 200
    events = stream.wait(3)
    assert [event["data"]["action"] for event in events] == ["create", "update", "delete"]
    assert {event["data"]["resource_name"] for event in events} == {project.flavour.resource}
    assert {event["data"]["event"] for event in events} == {project.flavour.event}
    assert {event["data"]["user_id"].partition(":")[0] for event in events} == {"basicauth"}
    created, updated, deleted = [event["data"]["changes"] for event in events]
    assert {change["uri"] for change in (*created, *updated, *deleted)} == {uri}
    assert [change["new"]["name"] for change in (*created, *updated)] == ["morel", "truffle"]
    assert [change["old"]["name"] for change in updated] == ["morel"]
    # Cliquet's own event has the tombstone for the old state.
    assert [change["old"]["id" if project.cliquet else "name"] for change in deleted] == [
        A if project.cliquet else "truffle"
    ]


def test_a_batch_and_a_plural_delete(project: Project, stream: StreamReader) -> None:
    objects = project.flavour.objects
    requests = [{"body": {"data": {"name": f"n{n}"}}} for n in range(10)]
    body = json.dumps({"defaults": {"method": "POST", "path": objects}, "requests": requests}).encode()
    assert project.request("POST", "/batch", body)[0] == 200
    assert project.request("DELETE", objects)[0] == 200
    created, deleted = stream.wait(2)
    assert [change["new"]["name"] for change in created["data"]["changes"]] == [f"n{n}" for n in range(10)]
    # What other tests left is gone too.
    gone = {change["id"] for change in deleted["data"]["changes"]}
    assert gone >= {change["id"] for change in created["data"]["changes"]}


def test_what_a_later_subscriber_rolls_back_is_not_told(project: Project, stream: StreamReader) -> None:
    assert put(project, A, name="veto") == 403
    assert put(project, B) == 201
    assert [change["id"] for event in stream.wait(1) for change in event["data"]["changes"]] == [B]


def test_a_batch_rolled_back_is_not_told(project: Project, stream: StreamReader) -> None:
    """A fault in the last sub-request undoes the whole batch."""
    objects = project.flavour.objects
    bodies = [{"data": {"name": name}} for name in ("one", "two", "fault")]
    requests = [{"method": "POST", "path": objects, "body": body} for body in bodies]
    assert project.request("POST", "/batch", json.dumps({"requests": requests}).encode())[0] == 500
    last = str(uuid.uuid4())
    assert put(project, last) == 201
    assert [change["id"] for event in stream.wait(1) for change in event["data"]["changes"]] == [last]


def test_what_waits_at_the_end_is_published(project: Project, stream: StreamReader) -> None:
    """The program is ended by SIGTERM with writes it answered a moment ago, and started again."""
    names = [str(uuid.uuid4()) for _ in range(20)]
    assert {put(project, name) for name in names} == {201}
    project.stop()
    project.start()
    # What was just being published when the program ended is published again, under the same event ids.
    told = eventually(
        lambda: (ids := {e["id"]: e["data"]["changes"][0]["id"] for e in stream.events()}) and len(ids) >= 20 and ids
    )
    assert list(told.values()) == names


def test_hooks_are_found_and_checked(tmp_path: Path, redis_server: RedisServer, project: Project) -> None:
    if project.cliquet:
        pytest.skip("hooks stand in buckets and collections, which Cliquet has none of")
    reader = StreamReader(redis_server.url, "hooked")
    told = "kinto.event_listeners.notify.hooks = true\nkinto.event_listeners.notify.namespace = hooked\n"
    with Project(tmp_path, redis_server.url, project.bin.parent, told) as hooked:
        hook = {"template": "{id}", "recipients": ["/buckets/b/groups/g"]}
        good, bad = ({"data": {"kinto-emailer": {"hooks": [one]}}} for one in (hook, {"recipients": ["a@b.c"]}))
        group = {"data": {"members": ["ldap:ann@example.org"]}}
        answers = [
            hooked.request("PUT", path, json.dumps(body).encode())
            for path, body in (
                ("/buckets/b", {"data": {}}),
                ("/buckets/b/groups/g", group),
                ("/buckets/b/collections/c", good),
                ("/buckets/b/collections/c/records/r", {"data": {}}),
                ("/buckets/b/collections/bad", bad),
            )
        ]
        assert [status for status, _ in answers] == [201, 201, 201, 201, 400]
        (found,) = reader.wait(4)[3]["data"]["hooks"]
    reader.close()
    assert (found["home"], found["hook"]) == ("/buckets/b/collections/c", hook)
    assert found["groups"] == {"/buckets/b/groups/g": ["ldap:ann@example.org"]}
