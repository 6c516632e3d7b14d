"""Events of somebody else's that are not made as Kinto's are: each is captured, once."""

import dataclasses
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import transaction
import webtest
from pyramid.request import Request

from kinto_notify.outbox.capture import capture
from support.stream import StreamReader

PAYLOAD = {"resource_name": "thing", "action": "create", "uri": "/things/a"}
CHANGED = [{"new": {"id": "a", "title": "A"}}]


class Plain:
    def __init__(self, request: Any) -> None:
        self.request, self.payload, self.impacted_objects = request, PAYLOAD, CHANGED


class Answering(Plain):
    """Has whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return PAYLOAD.get(name)


class Picky(Plain):
    """Raises what nobody expects."""

    def __getattr__(self, name: str) -> Any:
        return PAYLOAD[name]


@dataclasses.dataclass(frozen=True)
class Frozen:
    request: Any
    payload: Any = dataclasses.field(default_factory=lambda: PAYLOAD)
    impacted_objects: Any = dataclasses.field(default_factory=lambda: CHANGED)


class Slotted:
    __slots__ = ("impacted_objects", "payload", "request")

    def __init__(self, request: Any) -> None:
        self.request, self.payload, self.impacted_objects = request, PAYLOAD, CHANGED


class Alone:
    """Has no request."""

    payload, impacted_objects = PAYLOAD, CHANGED

    def __init__(self, request: Any) -> None:
        del request


KINDS = [Plain, Answering, Picky, Frozen, Slotted, Alone]
EVENTS = " ".join(f"{__name__}.{kind.__name__}" for kind in KINDS)


def notified(app: webtest.TestApp, stream: StreamReader, *events: Any) -> list[dict[str, Any]]:
    with transaction.manager:
        for event in events:
            app.app.registry.notify(event)
    app.put_json("/v1/buckets/last")
    told: list[dict[str, Any]] = []
    while not told or told[-1]["data"]["resource_name"] != "bucket":
        told = stream.wait(len(told) + 1)
    return told[:-1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_made_otherwise_is_captured(
    make_app: Callable[..., webtest.TestApp], stream: StreamReader, kind: Callable[[Any], Any]
) -> None:
    app = make_app(events=EVENTS)
    request = Request.blank("/v1/")
    request.registry = app.app.registry
    request.__dict__["kinto_notify_began"] = transaction.get
    (told,) = notified(app, stream, kind(request))
    assert told["data"]["changes"][0]["new"] == CHANGED[0]["new"]


@pytest.mark.parametrize(
    "request_",
    [None, SimpleNamespace(), SimpleNamespace(environ={}), Request.blank("/v1/")],
    ids=["none", "empty", "without registry", "of nobody"],
)
def test_half_a_request_or_none_costs_no_event(
    make_app: Callable[..., webtest.TestApp], stream: StreamReader, request_: Any
) -> None:
    if request_ is not None:
        request_.__dict__["kinto_notify_began"] = transaction.get
    (told,) = notified(make_app(events=EVENTS), stream, Plain(request_))
    assert told["data"]["changes"][0]["id"] == "a"


def test_no_mark_on_an_event_tells_where_redis_is(make_app: Callable[..., webtest.TestApp]) -> None:
    """Its attributes are in the reports of whoever collects errors; our URL may hold a password."""
    app = make_app(events=EVENTS)
    event = Plain(None)
    with transaction.manager:
        app.app.registry.notify(event)
    assert "redis" not in repr(vars(event))
    assert len(vars(event)) == 4


def test_a_class_for_each_event_fills_no_memory() -> None:
    names = sys.modules[capture.__module__]._names
    for number in range(1_000):
        kind = type(f"Kind{number}", (Plain,), {})
        capture(kind(None), None, SimpleNamespace(exclude=(), events=(), redact=()), "id")  # type: ignore[arg-type]
    assert len(names) < 100
