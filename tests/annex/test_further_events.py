"""Further Pyramid events, such as those of a review workflow, are captured the same way."""

from collections.abc import Callable
from typing import Any

import pytest
import webtest
from kinto.core.events import ResourceChanged
from pyramid.config import Configurator

from kinto_notify.event import parse_entry
from support.kinto_app import RECORDS
from support.stream import StreamReader


class ReviewRequested:
    """Shaped as the events of kinto-signer."""

    def __init__(self, cause: Any) -> None:
        self.request = cause.request
        self.payload = {**cause.payload, "resource_name": "collection", "uri": "/buckets/b/collections/c"}
        self.impacted_objects = [{"old": {"id": "c", "status": "work"}, "new": {"id": "c", "status": "to-review"}}]
        self.comment = "please look"
        self._private = "hidden"


class Bare:
    """No payload, no objects."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.reason = "because"


def ask(config: Configurator) -> None:
    def on_change(event: Any) -> None:
        if event.payload["resource_name"] == "record":
            event.request.registry.notify(ReviewRequested(event))
            event.request.registry.notify(Bare(event.request))
            if "bad" in event.payload["uri"]:
                raise ValueError("no")

    config.add_subscriber(on_change, ResourceChanged)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_further_events_are_bound_to_the_transaction_too(
    make_app: Callable[..., webtest.TestApp], stream: StreamReader
) -> None:
    app = make_app(events=f"{__name__}.ReviewRequested {__name__}.Bare", configure=ask, resources="record")
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    app.put_json(f"{RECORDS}/bad", status=500)
    app.put_json(f"{RECORDS}/r")
    record, review, bare = stream.wait(3)
    assert record["type"] == "org.kinto-storage.record.create"
    assert review["type"] == review["data"]["event"] == f"{__name__}.ReviewRequested"
    assert review["data"]["extra"] == {"comment": "please look"}
    assert review["subject"] == "/buckets/b"
    (change,) = review["data"]["changes"]
    assert (change["uri"], change["new"]["status"]) == ("/buckets/b/collections/c", "to-review")
    assert (bare["data"]["action"], bare["data"]["extra"]) == ("Bare", {"reason": "because"})
    for _, fields in stream.client.xrange(stream.key):
        parse_entry(fields)
