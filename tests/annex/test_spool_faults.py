"""The disk full, the file unreadable or gone, the process killed or forked: no write fails, nothing is lost."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import webtest

from kinto_notify.demo.servers import free_port
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.brief import complete
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]


def entry(number: int, body: bytes = b'{"data":{}}') -> Entry:
    return Entry(f"id-{number}", body)


def waiting(source: SpoolReader | SpoolOutbox) -> list[str]:
    return [row.entry.id for row in source.waiting(1000, 1 << 30)]


@pytest.fixture
def outbox(spool: Path) -> SpoolOutbox:
    return SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None))


@pytest.fixture
def file(spool: Path) -> Spool:
    return Spool(SpoolDirectory(spool, "ns").new())


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """A limit on the size of files stands for the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def zeros(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as raw:
        raw.seek(start)
        raw.write(b"\0" * length)


def test_k11_a_file_with_pages_of_zeros_is_set_aside_and_a_new_one_used(
    make_app: MakeApp, stream: StreamReader, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While Redis is away: what is damaged is lost, loudly, and nothing else is."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    app = make_app(url=url)
    for name in ("a", "b", "c"):
        app.put_json(f"/v1/buckets/{name}", status=201)
    (path,) = spool.glob("*.spool")
    lines = path.read_bytes()
    second = lines.index(b"\nE 2 ") + 1
    zeros(path, second, lines.index(b"\nE 3 ") + 1 - second)
    app.put_json("/v1/buckets/d", status=201)
    (listener,) = app.app.registry.kinto_notify
    listener.close()
    adopted: list[bytes] = []

    def keep(orphan: SpoolReader) -> int:
        rows = orphan.waiting(10, 1 << 20)
        adopted.extend(one.body for row in rows for one in complete(row.entry))
        orphan.published(rows)
        return len(rows)

    Adoption(SpoolDirectory(spool, "kinto-notify"), StorageView(None)).turn(keep)
    assert [
        body.count(b'"uri":"/buckets/%b"' % name) > 0 for body, name in zip(adopted, [b"a", b"c", b"d"], strict=True)
    ] == [True] * 3
    assert "is damaged" in caplog.text
    assert list(spool.glob("*.corrupt-*"))


def test_k11_in_a_living_process(outbox: SpoolOutbox, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        outbox.commit(outbox.prepare([entry(n)], ""))
    (path,) = spool.glob("*.spool")
    zeros(path, path.read_bytes().index(b"id-1"), 4)
    assert waiting(outbox) == ["id-0", "id-2"]
    assert "is damaged" in caplog.text
    outbox.commit(outbox.prepare([entry(3)], ""))
    assert len(list(spool.glob("*.spool"))) == 2
    told: list[str] = []
    while batch := outbox.waiting(10, 1 << 20):
        told += [row.entry.id for row in batch]
        outbox.published(batch)
    assert told == ["id-0", "id-2", "id-3"]
    assert len(list(spool.glob("*.corrupt-*"))) == 1
    assert len(list(spool.glob("*.spool"))) == 1


@pytest.mark.parametrize("cut", range(1, 75, 7))
def test_a_row_that_a_kill_cut_off_is_waited_for_then_forgotten(file: Spool, cut: int, spool: Path) -> None:
    """Its write had not ended, so its transaction had not committed."""
    file.prepare([entry(0)], final=True)
    whole = file.end
    file.prepare([entry(1)], final=True)
    os.ftruncate(file.claim.descriptor, min(whole + cut, file.end - 1))
    reader = SpoolReader(file.claim.path)
    assert waiting(reader) == ["id-0"]
    assert not reader.damage
    reader.published(reader.waiting(10, 10))
    assert reader.settled()


def test_a_row_cut_off_before_others_is_skipped_alone(file: Spool) -> None:
    """As when a disk was full, and not even the rest of the row could be taken back."""
    file.prepare([entry(0)], final=True)
    os.write(file.claim.descriptor, b"P 2 1795452311400 id-x 0 11 00000000\n{'half")
    file.prepare([entry(3)], final=True)
    os.write(file.claim.descriptor, b"C 1 99999999")
    file.prepare([entry(4)], final=True)
    reader = SpoolReader(file.claim.path)
    assert waiting(reader) == ["id-0", "id-3", "id-4"]
    assert "bytes are unreadable" in reader.damage


def test_k11_a_file_that_is_none_of_ours_is_set_aside(
    make_app: MakeApp, stream: StreamReader, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.mkdir(mode=0o700)
    (spool / "kinto-notify@host-1-abcd.spool").write_bytes(b"this is no spool, whatever its name says" * 100)
    make_app().put_json("/v1/buckets/b", status=201)
    stream.wait(1)
    eventually(lambda: list(spool.glob("*.corrupt-*")))
    assert "orphaned spool" in caplog.text


def test_a_deleted_file_is_noticed_and_what_it_held_is_kept(
    outbox: SpoolOutbox, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    assert waiting(outbox) == ["id-0"]
    still_open = outbox.prepare([entry(1)], "")
    for path in spool.iterdir():
        path.unlink()
    outbox.retry()
    assert "is gone" in caplog.text
    outbox.commit(outbox.prepare([entry(2)], ""))
    outbox.commit(still_open)
    told: list[str] = []
    while batch := outbox.waiting(10, 1 << 20):
        told += [row.entry.id for row in batch]
        outbox.published(batch)
    assert told == ["id-0", "id-1", "id-2"]
    assert len(list(spool.glob("*.spool"))) == 1


def test_a_file_deleted_before_it_was_read_costs_nothing_else(outbox: SpoolOutbox, spool: Path) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    for path in spool.iterdir():
        path.unlink()
    outbox.retry()
    outbox.commit(outbox.prepare([entry(1)], ""))
    assert waiting(outbox) == ["id-0"]
    outbox.published(outbox.waiting(10, 1 << 20))
    assert waiting(outbox) == ["id-1"]
    assert sorted(path.suffix for path in spool.iterdir()) == [".done", ".spool"]


def test_what_was_read_from_a_file_marks_nothing_in_the_next_one(outbox: SpoolOutbox) -> None:
    """A file may follow while the relay is between stream and mark: rows are numbered from 1 again."""
    outbox.commit(outbox.prepare([entry(0)], ""))
    on_their_way = outbox.waiting(10, 1 << 20)
    outbox._here().turn_over()
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
    outbox.commit(outbox.prepare([entry(0)], ""))
    (path,) = spool.glob("*.spool")
    # Some of the row still fits.
    with full_disk(path.stat().st_size + 1000):
        committed = outbox.prepare([Entry("id-1", b"x" * 50_000)], "")
        outbox.commit(committed)
        outbox.abort(outbox.prepare([Entry("id-2", b"x" * 50_000)], ""))
        small = outbox.prepare([entry(3)], "")
    assert committed.spool is None
    outbox.commit(small)
    outbox.retry()
    assert waiting(outbox) == ["id-0", "id-3", "id-1"]
    outbox.close()


def test_k10_on_a_full_disk_what_is_only_kept_goes_first(
    outbox: SpoolOutbox, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        outbox.commit(outbox.prepare([entry(number)], ""))
        outbox.published(outbox.waiting(10, 1 << 20))
        outbox._here().turn_over()
        outbox.waiting(10, 1 << 20)
    kept = sorted(spool.glob("*.drained"))
    assert len(kept) == 3
    outbox.commit(outbox.prepare([entry(3)], ""))
    (path,) = spool.glob("*.spool")
    with full_disk(path.stat().st_size + 1000):
        outbox.commit(outbox.prepare([Entry("id-4", b"x" * 50_000)], ""))
        outbox.retry()
    assert sorted(spool.glob("*.drained")) == kept[1:], "the oldest, and no more than it takes"
    assert not kept[0].with_suffix(".done").exists()
    assert f"{kept[0]}, kept for replay, is deleted before its time" in caplog.text
    outbox.retry()
    assert waiting(outbox) == ["id-3", "id-4"]
    outbox.close()


def test_k10_a_verdict_that_could_not_be_written_is_written_later(outbox: SpoolOutbox, spool: Path) -> None:
    receipts = [outbox.prepare([entry(n)], "") for n in range(2)]
    (path,) = spool.glob("*.spool")
    with full_disk(path.stat().st_size):
        outbox.commit(receipts[0])
        outbox.abort(receipts[1])
        assert waiting(outbox) == []
    outbox.retry()
    assert waiting(outbox) == ["id-0"]
    outbox.close()


def test_a_verdict_after_the_end_goes_to_no_other_file(outbox: SpoolOutbox, spool: Path) -> None:
    """The number of a closed descriptor is soon another file's."""
    outbox.prepare([entry(0)], "")
    late = outbox.prepare([entry(1)], "")
    assert late.spool is not None
    late.spool.close()
    late.spool.claim.release()
    with (spool / "other").open("wb", buffering=0) as other:
        assert other.fileno() == late.spool.claim.descriptor
        outbox.commit(late)
    assert (spool / "other").read_bytes() == b""


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
