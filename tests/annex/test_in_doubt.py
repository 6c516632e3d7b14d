"""Rows that a dead process left prepared are decided by storage, and published as maybe where it can't."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import webtest

from kinto_notify.event import parse_event
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.in_doubt import verdict
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.storage import StorageView
from support.kinto_app import RECORDS, kinto_app

PARENT = "/buckets/b/collections/c"
BODY = {"specversion": "1.0", "id": "e", "source": "s", "type": "t",
        "data": {"action": "create", "resource_name": "record", "changes": []}}  # fmt: skip


class Outliving(StorageView):
    """The memory backend in the place of one that outlives its process: the questions and answers are real."""

    def outlives_process(self) -> bool:
        return True


@pytest.fixture
def kinto() -> webtest.TestApp:
    app = kinto_app({})
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    return app


@pytest.fixture
def left_behind(spool: Path) -> Callable[..., list[dict[str, object]]]:
    """Leave one row prepared with these probes; return what an adopting relay publishes."""

    def leave(storage: StorageView, *probes: tuple[str, str, str, int]) -> list[dict[str, object]]:
        directory = SpoolDirectory(spool, "ns")
        claim = directory.new()
        dead = Spool(claim)
        dead.prepare([Entry("e", json.dumps(BODY).encode())], json.dumps(probes))
        claim.release()
        bodies: list[bytes] = []

        def keep(orphan: object) -> int:
            rows = orphan.waiting(10, 1 << 20)  # type: ignore[attr-defined]
            bodies.extend(row.entry.body for row in rows)
            orphan.published(rows)  # type: ignore[attr-defined]
            return len(rows)

        Adoption(directory, storage).turn(keep)
        assert not list(spool.glob("*.spool*"))
        return [json.loads(body) for body in bodies]

    return leave


def test_equal_is_committed(kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]) -> None:
    at = kinto.put_json(f"{RECORDS}/r").json["data"]["last_modified"]
    assert left_behind(Outliving(kinto.app.registry), ("record", PARENT, "r", at)) == [BODY]


def test_a_tombstone_confirms_a_delete(
    kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]
) -> None:
    kinto.put_json(f"{RECORDS}/r")
    at = kinto.delete(f"{RECORDS}/r").json["data"]["last_modified"]
    assert left_behind(Outliving(kinto.app.registry), ("record", PARENT, "r", at)) == [BODY]


def test_absent_or_older_is_dropped(
    kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]
) -> None:
    storage = Outliving(kinto.app.registry)
    assert left_behind(storage, ("record", PARENT, "never", 5)) == []
    at = kinto.put_json(f"{RECORDS}/r").json["data"]["last_modified"]
    assert left_behind(storage, ("record", PARENT, "r", at + 1)) == []


def test_newer_is_undecidable_and_told_as_maybe(
    kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]
) -> None:
    at = kinto.put_json(f"{RECORDS}/r").json["data"]["last_modified"]
    (published,) = left_behind(Outliving(kinto.app.registry), ("record", PARENT, "r", at - 1))
    assert published == {**BODY, "data": {**BODY["data"], "maybe": True}}  # type: ignore[dict-item]
    assert parse_event(json.dumps(published)).data.maybe is True


def test_another_object_of_the_transaction_decides(
    kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]
) -> None:
    at = kinto.put_json(f"{RECORDS}/r").json["data"]["last_modified"]
    probes = (("record", PARENT, "r", at - 1), ("record", PARENT, "never", 5))
    assert left_behind(Outliving(kinto.app.registry), *probes) == []


def test_a_plugins_resource_may_be_kept_elsewhere_than_its_uri_says(
    kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]
) -> None:
    """Absent under a guessed parent proves nothing: it is published, not dropped."""
    (published,) = left_behind(Outliving(kinto.app.registry), ("attachment", PARENT, "a", 5))
    assert published["data"]["maybe"] is True  # type: ignore[index]


def test_storage_that_died_with_its_process_decides_nothing(
    kinto: webtest.TestApp, left_behind: Callable[..., list[dict[str, object]]]
) -> None:
    (published,) = left_behind(StorageView(kinto.app.registry), ("record", PARENT, "never", 5))
    assert published["data"]["maybe"] is True  # type: ignore[index]


@pytest.mark.parametrize(("held", "expected"), [(None, False), (4, False), (5, True), (6, None)])
def test_the_verdict(held: int | None, expected: bool | None) -> None:
    assert verdict(5, held) is expected
