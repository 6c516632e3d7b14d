"""The real listeners of others, `cliquet.listeners.redis` and `kinto_redis.listeners`, as a source of ours."""

import pytest

from kinto_notify.demo.servers import RedisServer
from kinto_notify.event import Event, parse_event
from kinto_notify.legacy_list import moved
from support.cliquet_app import cliquet_app
from support.daemon import command
from support.inbox import Letter
from support.kinto_app import RECORDS, kinto_app
from support.smtp_server import SmtpServerThread
from support.stream import StreamReader

# Cornice 1 and Cliquet are of 2016, and call what has been deprecated since.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

LIST = "kinto.core.events"


def pushing(use: str, url: str) -> dict[str, str]:
    own = {"use": use, "url": url, "pool_size": "5", "listname": LIST}
    return {"event_listeners": "redis", **{f"event_listeners.redis.{key}": own[key] for key in own}}


def listed(stream: StreamReader) -> list[Event]:
    found = [moved(one, LIST) for one in reversed(stream.client.lrange(LIST, 0, -1))]
    assert [one.reason for one in found] == [""] * len(found)
    return [parse_event(one.event) for one in found]


def test_cliquets_listener_becomes_mail(redis_server: RedisServer, stream: StreamReader) -> None:
    """Through the installed command: from the list to the inbox."""
    app = cliquet_app(pushing("cliquet.listeners.redis", redis_server.url))
    made = app.post_json("/v0/mushrooms", {"data": {"name": "morel"}}).json["data"]
    app.delete("/v0/mushrooms/" + made["id"])
    assert [(one.data.action, one.data.resource_name, one.data.changes[0].id) for one in listed(stream)] == [
        ("create", "mushroom", ""),
        ("delete", "mushroom", made["id"]),
    ]
    with SmtpServerThread() as smtp:
        settings = {"redis_url": redis_server.url, "smtp_url": smtp.url, "list": LIST, "sender": "kinto@example.org"}
        own = {"recipients": "ann@example.org", "digest_wait": "0s", "digest_interval": "0s"}
        done = command("run", "--once", **settings, **own)
        assert (done.returncode, done.stderr) == (0, "")
        (mail,) = smtp.mails
    assert made["id"] in Letter(mail).text
    assert stream.client.llen(LIST) == 0


def test_kinto_redis_listener_is_read(redis_server: RedisServer, stream: StreamReader) -> None:
    pytest.importorskip("kinto_redis", reason="kinto-redis comes with the extra `bench`: make bench")
    app = kinto_app(pushing("kinto_redis.listeners", redis_server.url))
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    app.put_json(f"{RECORDS}/r1", {"data": {"title": "A"}})
    app.post_json(RECORDS, {"data": {"title": "B"}})
    app.put_json("/v1/buckets/b/groups/g", {"data": {"members": []}})
    app.delete(f"{RECORDS}/r1")
    told = [(one.data.resource_name, one.data.action, one.data.changes[0].id, one.data.uri) for one in listed(stream)]
    assert told == [
        ("bucket", "create", "b", "/buckets/b"),
        ("collection", "create", "c", "/buckets/b/collections/c"),
        ("record", "create", "r1", f"{RECORDS[3:]}/r1"),
        # What a POST made its payload does not say.
        ("record", "create", "", RECORDS[3:]),
        ("group", "create", "g", "/buckets/b/groups/g"),
        ("record", "delete", "r1", f"{RECORDS[3:]}/r1"),
    ]
    places = ("/", "/buckets/b", RECORDS[3:-8], RECORDS[3:-8], "/buckets/b", RECORDS[3:-8])
    assert [one.subject for one in listed(stream)] == list(places)
    assert all(one.data.user_id.startswith("basicauth:") for one in listed(stream))
