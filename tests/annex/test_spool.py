"""The spool keeps what committed, over every fault of the disk, of the process and of the file itself."""

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import webtest

from kinto_notify.outbox.adoption import Adoption, Orphan
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.storage import StorageView
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]


def entry(number: int) -> Entry:
    return Entry(f"id-{number}", b'{"data":{}}')


def waiting(spool: Spool | SpoolOutbox) -> list[str]:
    return [row.entry.id for row in spool.waiting(1000, 1 << 30)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.spool"


@pytest.fixture
def outbox(spool: Path) -> SpoolOutbox:
    return SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None))


def test_only_what_committed_waits_in_its_order(file: Path) -> None:
    spool = Spool(file)
    tickets = [spool.prepare([entry(n)]) for n in range(4)]
    spool.commit(tickets[0])
    spool.abort(tickets[1])
    spool.commit(tickets[3])
    # Number 2 was prepared before 3 and may have committed before it: 3 must not overtake it.
    assert waiting(spool) == ["id-0"]
    spool.commit(tickets[2])
    assert waiting(spool) == ["id-0", "id-2", "id-3"]
    spool.close()


def test_a_commit_that_never_ends_does_not_hold_the_others_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(file)
    spool.prepare([entry(0)])
    spool.commit(spool.prepare([entry(1)]))
    assert waiting(spool) == []
    later = time.time_ns() + 6 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert waiting(spool) == ["id-1"]
    spool.close()


def test_all_entries_of_a_transaction_go_together(file: Path) -> None:
    spool = Spool(file)
    ticket = spool.prepare([entry(n) for n in range(5)])
    assert waiting(spool) == []
    spool.commit(ticket)
    assert waiting(spool) == [f"id-{n}" for n in range(5)]
    spool.published([row.seq for row in spool.waiting(2, 1 << 30)])
    assert waiting(spool) == ["id-2", "id-3", "id-4"]
    assert [row.entry.id for row in spool.waiting(1000, 1)] == ["id-2"]
    assert spool.depth().rows == 3
    spool.close()


def test_an_abort_after_the_commit_takes_nothing_back(file: Path) -> None:
    spool = Spool(file)
    ticket = spool.prepare([entry(0)])
    spool.commit(ticket)
    spool.abort(ticket)
    assert waiting(spool) == ["id-0"]
    spool.close()


def test_published_rows_are_kept_for_the_retention(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(file)
    spool.commit(spool.prepare([entry(0)]))
    spool.published([row.seq for row in spool.waiting(1, 1)])
    assert spool.purge(3600) == 0
    later = time.time_ns() + 3601 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert spool.purge(3600) == 1
    assert spool.empty()
    spool.close()


def test_nobody_else_may_read_it(outbox: SpoolOutbox, spool: Path) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.iterdir()} == {0o600}
    outbox.close()


def test_k11_an_unreadable_file_is_set_aside_and_a_new_one_used(
    make_app: MakeApp, stream: StreamReader, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    app.put_json("/v1/buckets/a")
    stream.wait(1)
    (path,) = spool.glob("*.spool")
    eventually(lambda: path.stat().st_size > 4096)
    path.write_bytes(b"\0" * path.stat().st_size)
    # The log holds copies of the pages, which would heal the file.
    Path(f"{path}-wal").write_bytes(b"")
    app.put_json("/v1/buckets/b", status=201)
    eventually(lambda: list(spool.glob("*.corrupt-*")))
    app.put_json("/v1/buckets/c", status=201)
    eventually(lambda: {"a", "b", "c"} == {c["id"] for _, c in stream.changes()})
    assert "is unreadable" in caplog.text


def test_k11_an_orphan_with_pages_of_zeros_is_set_aside(spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = SpoolDirectory(spool, "ns")
    claim = directory.new()
    file = Spool(claim.path)
    for n in range(50):
        file.commit(file.prepare([Entry(f"id-{n}", b"x" * 1000)]))
    file.close()
    claim.release()
    size = claim.path.stat().st_size
    with claim.path.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\0" * (size - 4096))
    Adoption(directory, StorageView(None)).turn(lambda orphan: len(orphan.waiting(100, 1 << 20)))
    assert list(spool.glob("*.corrupt-*"))
    assert not list(spool.glob("*.spool"))
    assert "is unreadable" in caplog.text


def test_k11_an_unreadable_orphan_is_set_aside(
    make_app: MakeApp, stream: StreamReader, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.mkdir(mode=0o700)
    (spool / "kinto-notify@host-1-abcd.spool").write_bytes(b"this is no database, whatever its name says" * 100)
    make_app().put_json("/v1/buckets/b", status=201)
    stream.wait(1)
    eventually(lambda: list(spool.glob("*.corrupt-*")))
    assert "orphaned spool" in caplog.text


def test_a_deleted_file_is_noticed_and_what_it_held_is_kept(outbox: SpoolOutbox, spool: Path) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    for path in spool.glob("*.spool*"):
        path.unlink()
    outbox.retry()
    outbox.commit(outbox.prepare([entry(1)], ""))
    assert waiting(outbox) == ["id-0", "id-1"]
    assert len(list(spool.glob("*.spool"))) == 1
    outbox.close()


def test_k10_a_disk_that_takes_nothing_fails_no_write_and_loses_nothing(
    make_app: MakeApp, stream: StreamReader, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.write_text("a file where the directory should be")
    with pytest.raises(Exception, match=r"event_listeners\.notify\.spool"):
        make_app()
    spool.unlink()
    app = make_app()
    spool.write_text("it came later")
    app.put_json("/v1/buckets/b", status=201)
    assert [c["id"] for e in stream.wait(1) for c in e["data"]["changes"]] == ["b"]
    assert {r.levelname for r in caplog.records if "could not keep an event" in r.getMessage()} == {"CRITICAL"}


def test_k10_a_full_disk(outbox: SpoolOutbox, spool: Path) -> None:
    """Full in the middle of a run: a limit on the size of files stands for the disk."""
    outbox.commit(outbox.prepare([entry(0)], ""))
    (path,) = spool.glob("*.spool-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        committed = outbox.prepare([Entry("id-1", b"x" * 50_000)], "")
        outbox.commit(committed)
        outbox.abort(outbox.prepare([Entry("id-2", b"x" * 50_000)], ""))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert committed.spool is None
    outbox.retry()
    assert waiting(outbox) == ["id-0", "id-1"]
    outbox.close()


def test_k10_a_commit_that_could_not_be_written_is_written_later(outbox: SpoolOutbox, spool: Path) -> None:
    receipts = [outbox.prepare([entry(n)], "") for n in range(2)]
    (path,) = spool.glob("*.spool")
    # Another process's lock on the file keeps every write out, longer than we wait.
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    outbox.commit(receipts[0])
    outbox.abort(receipts[1])
    blocker.execute("ROLLBACK")
    blocker.close()
    assert waiting(outbox) == []
    outbox.retry()
    assert waiting(outbox) == ["id-0"]
    outbox.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12: pytest has threads
def test_k12_a_forked_child_has_its_own_file_and_leaves_the_parents_alone(outbox: SpoolOutbox, spool: Path) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    (parents,) = spool.glob("*.spool")
    child = os.fork()
    if child == 0:
        try:
            outbox.commit(outbox.prepare([entry(1)], ""))
            ok = waiting(outbox) == ["id-1"]
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (childs,) = set(spool.glob("*.spool")) - {parents}
    # The child is gone, and its file is an orphan; the parent's is not, although the child had a copy of its lock.
    orphans = list(SpoolDirectory(spool, "ns").orphans())
    assert [claim.path for claim in orphans] == [childs]
    for claim in orphans:
        claim.release()
    outbox.commit(outbox.prepare([entry(2)], ""))
    assert waiting(outbox) == ["id-0", "id-2"]
    outbox.close()


DIE = """
import os, sys
from pathlib import Path
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.pump import pump
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.stream import Stream

class DiesBeforeTheMark:
    def __init__(self, outbox): self.waiting = outbox.waiting
    def published(self, waiting): os.kill(os.getpid(), 9)

outbox = SpoolOutbox(SpoolDirectory(Path(sys.argv[1]), "ns"), Counters(None))
outbox.commit(outbox.prepare([Entry("id-0", b'{"data":{}}')], ""))
pump(DiesBeforeTheMark(outbox), Stream(sys.argv[2], "ns", 1))
"""


def test_k08_a_crash_between_the_stream_and_the_mark_repeats_the_same_id(
    redis_server: object, spool: Path, stream: StreamReader
) -> None:
    from kinto_notify.outbox.pump import pump
    from kinto_notify.outbox.stream import Stream

    url = getattr(redis_server, "url")  # noqa: B009
    died = subprocess.run([sys.executable, "-c", DIE, str(spool), url], check=False)
    assert died.returncode == -signal.SIGKILL
    again = Stream(url, "ns", 1)
    Adoption(SpoolDirectory(spool, "ns"), StorageView(None)).turn(lambda orphan: pump(orphan, again))
    again.close()
    bodies = [fields[b"event"] for _, fields in stream.client.xrange("{ns}:events")]
    assert bodies == [b'{"data":{}}'] * 2
    assert not list(spool.glob("*.spool"))
    assert len(list(spool.glob("*.drained"))) == 1


def test_a_drained_orphan_is_kept_for_the_retention_then_deleted(spool: Path, outbox: SpoolOutbox) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    outbox.published(outbox.waiting(1, 1))
    outbox.close()
    directory = SpoolDirectory(spool, "ns")
    (kept,) = spool.iterdir()
    assert kept.suffix == ".drained"
    directory.purge(3600)
    assert kept.exists()
    os.utime(kept, (time.time() - 3601,) * 2)
    directory.purge(3600)
    assert not list(spool.iterdir())


def test_a_process_that_wrote_nothing_leaves_nothing(spool: Path, outbox: SpoolOutbox) -> None:
    outbox.abort(outbox.prepare([entry(0)], ""))
    outbox.close()
    assert list(spool.iterdir()) == []


def test_another_namespaces_orphans_are_left_alone(spool: Path) -> None:
    other = SpoolDirectory(spool, "other")
    claim = other.new()
    Spool(claim.path).close()
    claim.release()
    assert list(SpoolDirectory(spool, "oth").orphans()) == []
    assert [found.path for found in other.orphans()] == [claim.path]


def test_orphan_is_what_the_relay_wants(file: Path) -> None:
    spool = Spool(file)
    spool.commit(spool.prepare([entry(0)]))
    orphan = Orphan(spool)
    orphan.published(orphan.waiting(10, 10))
    assert orphan.waiting(10, 10) == []
    spool.close()
