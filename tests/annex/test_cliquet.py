"""The same listener in Kinto's ancestor, Cliquet 3.1.5."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import webtest
from pyramid.exceptions import ConfigurationError

from kinto_notify.demo.servers import RedisServer
from support.cliquet_app import cliquet_app
from support.kinto_app import close, listening
from support.stream import StreamReader

# Cornice 1 and Cliquet are of 2016, and call what has been deprecated since.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

#: Cliquet wants UUIDs.
ID = "7a3f8b6e-0c56-4b7b-9d60-3a5d1d7f1c11"


@pytest.fixture
def fungi(redis_server: RedisServer, spool: Path, stream: StreamReader) -> Iterator[webtest.TestApp]:
    app = cliquet_app(listening(redis_server.url, spool))
    yield app
    close(app)


def test_create_update_delete(fungi: webtest.TestApp, stream: StreamReader) -> None:
    created = fungi.put_json("/v0/mushrooms/" + ID, {"data": {"name": "morel"}}).json["data"]
    updated = fungi.put_json("/v0/mushrooms/" + ID, {"data": {"name": "truffle"}}).json["data"]
    fungi.delete("/v0/mushrooms/" + ID)
    events = stream.wait(3)
    assert [e["type"] for e in events] == [
        f"org.kinto-storage.mushroom.{action}" for action in ("create", "update", "delete")
    ]
    uri = "/mushrooms/" + ID
    assert [e["data"]["changes"] for e in events[:2]] == [
        [{"id": ID, "uri": uri, "new": created}],
        [{"id": ID, "uri": uri, "old": created, "new": updated}],
    ]
    (gone,) = events[2]["data"]["changes"]
    assert (gone["id"], gone["uri"], set(gone)) == (ID, uri, {"id", "uri", "old"})
    assert {e["subject"] for e in events} == {"/"}
    assert {e["source"] for e in events} == {"http://localhost/v0/"}
    assert {e["data"]["event"] for e in events} == {"cliquet.events.ResourceChanged"}
    assert all(e["data"]["user_id"].startswith("basicauth:") for e in events)


def test_a_batch_is_one_event_and_a_plural_delete_too(fungi: webtest.TestApp, stream: StreamReader) -> None:
    requests = [{"body": {"data": {"name": f"n{n}"}}} for n in range(25)]
    fungi.post_json("/v0/batch", {"defaults": {"method": "POST", "path": "/mushrooms"}, "requests": requests})
    fungi.delete("/v0/mushrooms")
    created, deleted = stream.wait(2)
    assert [c["new"]["name"] for c in created["data"]["changes"]] == [f"n{n}" for n in range(25)]
    assert sorted(c["id"] for c in deleted["data"]["changes"]) == sorted(c["id"] for c in created["data"]["changes"])


def test_a_refused_write_tells_nothing(fungi: webtest.TestApp, stream: StreamReader) -> None:
    fungi.post_json("/v0/mushrooms", {"data": {"colour": "red"}}, status=400)
    fungi.put_json("/v0/mushrooms/" + ID, {"data": {"name": "x"}})
    assert [c["id"] for _, c in (stream.wait(1), stream.changes())[1]] == [ID]


@pytest.fixture
def make_fungi(spool: Path) -> Iterator[Callable[..., webtest.TestApp]]:
    made: list[webtest.TestApp] = []

    def make(**settings: str) -> webtest.TestApp:
        made.append(cliquet_app(settings))
        return made[-1]

    yield make
    for app in made:
        close(app)


def test_includes_works_too(
    make_fungi: Callable[..., webtest.TestApp], redis_server: RedisServer, stream: StreamReader, spool: Path
) -> None:
    fungi = make_fungi(includes="kinto_notify", **{"notify.url": redis_server.url, "notify.spool": str(spool)})
    fungi.put_json("/v0/mushrooms/" + ID, {"data": {"name": "morel"}})
    assert stream.wait(1)[0]["data"]["changes"][0]["id"] == ID


def test_hooks_are_refused_with_words(redis_server: RedisServer, spool: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"notify\.hooks: true needs Kinto: in Cliquet there is no metadata"):
        cliquet_app(listening(redis_server.url, spool, hooks="true"))
