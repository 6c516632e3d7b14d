"""`kinto.includes = kinto_notify`, alone, beside the listener, and beside kinto-emailer for the time of a move."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import webtest
from pyramid_mailer.interfaces import IMailer
from pyramid_mailer.mailer import DummyMailer

from hooks.signer import ReviewRequested
from kinto_notify.demo.servers import RedisServer
from support.hooked import Hooked
from support.kinto_app import RECORDS, close, kinto_app, listening
from support.stream import StreamReader

BUCKET, COLLECTION = "/v1/buckets/b", "/v1/buckets/b/collections/c"
HOOK = {"template": "{id}", "recipients": ["ann@example.org"]}
HOOKS = {"data": {"kinto-emailer": {"hooks": [HOOK]}}}
REVIEWED = f"{ReviewRequested.__module__}.{ReviewRequested.__qualname__}"
# Kinto's root page leaves the ini that it finds open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def stream(redis_server: RedisServer) -> Iterator[StreamReader]:
    reader = StreamReader(redis_server.url)
    reader.client.flushall()
    yield reader
    reader.close()


@pytest.fixture
def made(redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., webtest.TestApp]]:
    apps: list[webtest.TestApp] = []

    def make(includes: str, **settings: str) -> webtest.TestApp:
        own = {"notify.url": redis_server.url, "notify.spool": str(tmp_path / "spool"), "notify.hooks": "true"}
        apps.append(kinto_app({"includes": includes, **own, **settings}))
        return apps[-1]

    yield make
    for app in apps:
        close(app)


def check(app: webtest.TestApp, stream: StreamReader) -> None:
    """Announced once, checked, captured once."""
    capabilities = app.get("/v1/").json["capabilities"]
    assert {"emailer", "notify"} <= set(capabilities)
    assert capabilities["emailer"]["url"] == "https://github.com/Kinto/kinto-emailer/"
    app.put_json(BUCKET)
    refused = app.put_json(COLLECTION, {"data": {"kinto-emailer": {}}}, status=400).json
    assert refused["message"] == 'body: Missing "hooks".'
    assert len(refused["details"]) == 1
    app.put_json("/v1/buckets/b/collections/d", HOOKS)
    app.put_json("/v1/buckets/b/collections/d/records/r1")
    app.put_json("/v1/buckets/b/collections/d/records/r2")
    told = stream.wait(4)
    assert [one["data"]["resource_name"] for one in told] == ["bucket", "collection", "record", "record"]
    assert [hook["key"] for hook in told[-1]["data"]["hooks"]] == ["kinto-emailer"]


def test_includes_alone(made: Callable[..., webtest.TestApp], stream: StreamReader) -> None:
    check(made("kinto_notify"), stream)


def test_both_ways_at_once(
    made: Callable[..., webtest.TestApp], stream: StreamReader, redis_server: RedisServer, tmp_path: Path
) -> None:
    check(made("kinto_notify", **listening(redis_server.url, tmp_path / "spool", hooks="true")), stream)


@pytest.mark.parametrize("includes", ["kinto_notify kinto_emailer", "kinto_emailer kinto_notify"])
def test_beside_kinto_emailer(made: Callable[..., webtest.TestApp], stream: StreamReader, includes: str) -> None:
    app = made(includes, **{"mail.default_sender": "kinto@example.org"})
    mailer = DummyMailer()
    app.app.registry.registerUtility(mailer, IMailer)
    check(app, stream)
    # It goes on as before: of the collection and of two records.
    assert [mail.subject for mail in mailer.outbox] == ["New message"] * 3


def test_d6_a_review_and_the_change_that_asked_for_it_are_both_told(redis_server: RedisServer, tmp_path: Path) -> None:
    # kinto-emailer assigns the mails of an event to the request: of two events it sends one's.
    settings = {"includes": "hooks.signer", "event_listeners.notify.events": REVIEWED}
    hooked = Hooked(redis_server.url, tmp_path / "d6", settings)
    review = {**HOOK, "event": REVIEWED, "template": "review {comment} {changes_count}"}
    plain = {**HOOK, "event": "kinto.core.events.ResourceChanged", "template": "change {action}"}
    data: dict[str, Any] = {"kinto-emailer": {"hooks": [review, plain]}}
    hooked.request("PUT", "/buckets/b", {"data": data})
    hooked.request("PUT", "/buckets/b/collections/c", {"data": {}})
    assert [mail.body for mail in hooked.mails()] == ["change create"]
    hooked.request("PATCH", "/buckets/b/collections/c", {"data": {"status": "to-review", "last_editor_comment": "now"}})
    hooked.expect(1)
    assert sorted(mail.body for mail in hooked.mails()) == ["change update", "review now 1"]
    hooked.close()


def test_without_hooks_includes_is_the_listener_and_no_more(
    made: Callable[..., webtest.TestApp], stream: StreamReader
) -> None:
    app = made("kinto_notify", **{"notify.hooks": "false"})
    app.put_json(BUCKET, {"data": {"kinto-emailer": "whatever"}})
    app.put_json(COLLECTION)
    app.put_json(f"{RECORDS}/r1")
    assert all("hooks" not in one["data"] for one in stream.wait(3))
    assert not {"emailer", "notify"} & set(app.get("/v1/").json["capabilities"])
