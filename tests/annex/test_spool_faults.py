"""The disk full, the file unreadable or gone, the process killed or forked: no write fails, nothing is lost."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import webtest

from kinto_notify.outbox.adoption import Adoption
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


def test_what_was_read_from_a_file_marks_nothing_in_the_next_one(outbox: SpoolOutbox) -> None:
    """A request may replace the file while the relay is between stream and mark: rows are numbered from 1 again."""
    outbox.commit(outbox.prepare([entry(0)], ""))
    on_their_way = outbox.waiting(10, 1 << 20)
    here = outbox._here()
    assert here.spool is not None
    outbox._replace(here, here.spool, "was moved")
    outbox.commit(outbox.prepare([entry(1)], ""))
    outbox.published(on_their_way)
    assert waiting(outbox) == ["id-1"]
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
