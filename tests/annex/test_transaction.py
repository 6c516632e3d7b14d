"""A change is notified if and only if its transaction committed."""

from collections.abc import Callable
from typing import Any

import pytest
import transaction
import webtest
from kinto.core.events import ResourceChanged
from kinto.core.storage.exceptions import BackendError
from pyramid.events import NewRequest
from pyramid.httpexceptions import HTTPConflict
from transaction.interfaces import NoTransaction

from support.kinto_app import RECORDS
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]


def uris(stream: StreamReader, number: int) -> list[str]:
    """The URIs of all changes, once there are `number` events."""
    return [c["uri"] for e in stream.wait(number) for c in e["data"]["changes"]]


def veto(event: Any) -> None:
    if "bad" in event.payload["uri"]:
        raise ValueError("no")


def test_k02_a_write_vetoed_by_a_later_subscriber_is_not_notified(make_app: MakeApp, stream: StreamReader) -> None:
    app = make_app(configure=lambda config: config.add_subscriber(veto, ResourceChanged))
    app.put_json("/v1/buckets/bad", status=500)
    app.put_json("/v1/buckets/good")
    assert uris(stream, 1) == ["/buckets/good"]


def test_k23_a_vote_that_fails_after_ours_leaves_nothing(make_app: MakeApp, stream: StreamReader) -> None:
    class Database:
        """Votes after us, as a real database's session does, and fails."""

        transaction_manager = transaction.manager

        def sortKey(self) -> str:
            return "~sqlalchemy:1"

        def tpc_vote(self, _transaction: Any) -> None:
            raise BackendError(message="could not serialize access")

        def nothing(self, _transaction: Any) -> None:
            pass

        abort = tpc_begin = commit = tpc_finish = tpc_abort = nothing

    def join(event: Any) -> None:
        if "bad" in event.payload["uri"]:
            transaction.get().join(Database())

    app = make_app(configure=lambda config: config.add_subscriber(join, ResourceChanged))
    app.put_json("/v1/buckets/bad", status=503)
    app.put_json("/v1/buckets/good")
    assert uris(stream, 1) == ["/buckets/good"]


def test_a_refused_request_is_not_notified(app: webtest.TestApp, stream: StreamReader) -> None:
    app.put_json("/v1/buckets/b", {"data": {"n": 1}}, headers={"If-None-Match": "*"}, status=412)
    app.post_json(RECORDS, {"data": "text"}, status=400)
    app.put_json("/v1/buckets/last")
    assert uris(stream, 3) == ["/buckets/b", "/buckets/b/collections/c", "/buckets/last"]


def refuse_conflicts(app: webtest.TestApp) -> webtest.TestApp:
    """From now on a request for an object named `conflict` answers 409, as a database under strain does."""
    storage = app.app.registry.storage
    create = storage.create

    def refuse(resource_name: str, parent_id: str, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if obj.get("id") == "conflict":
            raise HTTPConflict()
        return create(resource_name, parent_id, obj, *args, **kwargs)

    storage.create = refuse
    return app


@pytest.fixture
def conflicting(app: webtest.TestApp) -> webtest.TestApp:
    return refuse_conflicts(app)


def batch(app: webtest.TestApp, *names: str) -> list[int]:
    requests = [{"method": "PUT", "path": f"{RECORDS}/{name}", "body": {"data": {}}} for name in names]
    return [r["status"] for r in app.post_json("/v1/batch", {"requests": requests}).json["responses"]]


def test_k03_on_memory_what_stays_after_a_409_is_notified(conflicting: webtest.TestApp, stream: StreamReader) -> None:
    """The memory backend rolls nothing back: both records exist, both are told."""
    assert batch(conflicting, "p1", "conflict", "p3") == [201, 409, 201]
    event = stream.wait(3)[2]
    assert [c["id"] for c in event["data"]["changes"]] == ["p1", "p3"]
    assert event["data"]["total"] == 2


def test_k03_what_storage_does_not_hold_any_more_is_not_notified(
    conflicting: webtest.TestApp, stream: StreamReader
) -> None:
    """As on PostgreSQL: the transaction's end takes what was written before the 409 with it."""
    storage = conflicting.app.registry.storage
    abort = transaction.Transaction.abort

    def rolled_back(self: Any) -> None:
        storage.delete("record", "/buckets/b/collections/c", "p1", with_deleted=False)
        abort(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction.Transaction, "abort", rolled_back)
        assert batch(conflicting, "p1", "conflict", "p3") == [201, 409, 201]
    conflicting.put_json("/v1/buckets/last")
    assert [c["id"] for e in stream.wait(4)[2:] for c in e["data"]["changes"]] == ["p3", "last"]


def test_a_batch_without_a_409_asks_storage_nothing(app: webtest.TestApp, stream: StreamReader) -> None:
    storage = app.app.registry.storage
    asked: list[str] = []
    list_all = storage.list_all

    def counted(resource_name: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(resource_name)
        return list_all(resource_name, *args, **kwargs)

    storage.list_all = counted
    assert batch(app, "p1", "p2") == [201, 201]
    stream.wait(3)
    assert asked == []


def test_code_in_the_request_may_use_savepoints(make_app: MakeApp, stream: StreamReader) -> None:
    """A data manager without savepoints would make every `transaction.savepoint()` fail."""
    taken: list[Any] = []

    def save(event: Any) -> None:
        taken.append(transaction.savepoint())

    app = make_app(configure=lambda config: config.add_subscriber(save, ResourceChanged))
    app.put_json("/v1/buckets/b")
    assert len(taken) == 1
    assert uris(stream, 1) == ["/buckets/b"]


def test_a_savepoint_rolled_back_takes_its_events_along(make_app: MakeApp, stream: StreamReader) -> None:
    from kinto_notify.outbox.capture import Captured, Origin
    from kinto_notify.outbox.joined import Joined, Terms
    from kinto_notify.outbox.storage import StorageView

    joined = Joined(Terms(None, StorageView(None)), transaction.manager)  # type: ignore[arg-type]
    origin = Origin("", "", "", "")
    first, second = (Captured(0, "", {}, [{"new": {"id": name}}], origin) for name in ("first", "second"))
    joined.add(first)
    savepoint = joined.savepoint()
    joined.add(second)
    savepoint.rollback()
    assert [captured for captured, _ in joined._events] == [first]


def test_what_follows_a_savepoint_from_before_our_time_is_notified(make_app: MakeApp, stream: StreamReader) -> None:
    """Rolled back, it puts us out of the transaction again; what is written later joins anew."""
    saved: list[Any] = []

    def back(event: Any) -> None:
        if saved:
            saved.pop().rollback()
            again = ResourceChanged({**event.payload, "user_id": "again"}, event.impacted_objects, event.request)
            event.request.registry.notify(again)

    def configure(config: Any) -> None:
        config.add_subscriber(lambda event: saved.append(transaction.savepoint(optimistic=True)), NewRequest)
        config.add_subscriber(back, ResourceChanged)

    make_app(configure=configure).put_json("/v1/buckets/b")
    assert [event["data"]["user_id"] for event in stream.wait(1)] == ["again"]


def test_k04_an_explicit_manager_is_warned_of_and_loses_nothing(
    make_app: MakeApp, stream: StreamReader, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(settings={"tm.manager_hook": "pyramid_tm.explicit_manager"})
    assert "tm.manager_hook" in caplog.text
    app.put_json("/v1/buckets/b")
    assert uris(stream, 1) == ["/buckets/b"]


def test_k04_a_409_under_an_explicit_manager_loses_nothing(make_app: MakeApp, stream: StreamReader) -> None:
    """After the 409 such a manager has no transaction at all, and the memory backend keeps what is written."""
    app = refuse_conflicts(make_app(settings={"tm.manager_hook": "pyramid_tm.explicit_manager"}))
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    requests = [{"method": "PUT", "path": f"{RECORDS}/{name}"} for name in ("conflict", "p3")]
    with pytest.raises(NoTransaction):
        app.post_json("/v1/batch", {"requests": requests})
    app.get(f"{RECORDS}/p3")
    assert uris(stream, 3)[2:] == ["/buckets/b/collections/c/records/p3"]
