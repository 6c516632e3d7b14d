"""What goes wrong on our side of a request is ours: the write is answered as always."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webtest

from kinto_notify import wire
from support.kinto_app import close
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]


def test_a_process_that_may_have_no_more_threads_still_writes(
    make_app: MakeApp, stream: StreamReader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As under a limit of tasks (`TasksMax`); once a thread can be had, all is published."""
    app = make_app()

    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        app.put_json("/v1/buckets/a", status=201)
    assert "could not begin with a request" in caplog.text
    app.put_json("/v1/buckets/b", status=201)
    assert [c["id"] for e in stream.wait(2) for c in e["data"]["changes"]] == ["a", "b"]


def test_children_that_cannot_be_counted_lose_no_event(
    app: webtest.TestApp, stream: StreamReader, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> int:
        raise ValueError("no count today")

    app.app.registry.storage.count_all = fail
    app.delete("/v1/buckets/b", status=200)
    deleted = stream.wait(3)[2]["data"]
    assert (deleted["action"], deleted["resource_name"]) == ("delete", "bucket")
    assert "children" not in deleted
    assert "could not count" in caplog.text


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12: pytest has threads
def test_k12_a_fork_while_another_thread_makes_an_id_hangs_no_child() -> None:
    taken = []
    with wire._id_lock:
        child = os.fork()
        if child == 0:
            # The parent's lock is held, by a thread that the child does not have.
            maker = threading.Thread(target=lambda: taken.append(wire.new_id()), daemon=True)
            maker.start()
            maker.join(10)
            os._exit(0 if taken else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12: pytest has threads
@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork], ids=["told to Python", "untold"])
def test_forked_workers_make_different_ids(fork: Callable[[], int]) -> None:
    """As gunicorn forks, and as uWSGI does: two events with one id would be one for intake."""
    wire.new_id(1)
    read, write = os.pipe()
    for _ in range(2):
        child = fork()
        if child == 0:
            os.write(write, f"{wire.new_id(1)}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as told:
        ids = told.read().split()
    assert len(set(ids)) == 2


def test_a_strange_thing_in_the_spool_directory_stops_nothing(
    make_app: MakeApp, stream: StreamReader, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What has the name of a spool file and can't be opened is told, and costs no event."""
    spool.mkdir(mode=0o700)
    (spool / "kinto-notify@20200101T000000.000-host-1-ab.spool").mkdir()
    (spool / "kinto-notify@20200101T000000.000-host-1-cd.drained").mkdir()
    os.utime(spool / "kinto-notify@20200101T000000.000-host-1-cd.drained", (1, 1))
    make_app().put_json("/v1/buckets/b", status=201)
    assert [c["id"] for e in stream.wait(1) for c in e["data"]["changes"]] == ["b"]
    assert "20200101T000000.000-host-1-ab.spool" in caplog.text


def test_what_is_written_after_the_end_is_not_lost(make_app: MakeApp, stream: StreamReader, spool: Path) -> None:
    """Requests in daemon threads may go on while the process ends: who comes later publishes it."""
    app = make_app()
    app.put_json("/v1/buckets/a", status=201)
    close(app)
    app.put_json("/v1/buckets/b", status=201)
    assert [path for path in spool.glob("*.spool") if path.stat().st_size]
