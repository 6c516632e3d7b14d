"""How far a spool is published, and who may say so: damaged marks, several relays, clocks and versions."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from kinto_notify.demo.servers import KintoServer, RedisServer
from kinto_notify.outbox import spool_outbox
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import DONE, SpoolDirectory
from kinto_notify.outbox.frame import BEGIN
from kinto_notify.outbox.kept import of_spool
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView
from support.stream import StreamReader, eventually

BODY = b'{"data":{}}'


def entry(number: int) -> Entry:
    return Entry(f"id-{number}", BODY)


def publish(source: SpoolReader | SpoolOutbox, rows: int = 1000) -> list[str]:
    batch = source.waiting(rows, 1 << 30)
    if batch:
        source.published(batch)
    return [row.entry.id for row in batch]


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time_ns() + int(seconds * 10**9)
    monkeypatch.setattr(time, "time_ns", lambda: now)


@pytest.fixture
def directory(spool: Path) -> SpoolDirectory:
    return SpoolDirectory(spool, "ns")


@pytest.fixture
def file(directory: SpoolDirectory) -> Spool:
    return Spool(directory.new())


@pytest.fixture
def outbox(directory: SpoolDirectory) -> SpoolOutbox:
    return SpoolOutbox(directory, Counters(None))


def published_twice(file: Spool, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rows, each published in another second; return the file of the marks."""
    for n in range(2):
        file.prepare([entry(n)], final=True)
    reader = SpoolReader(file.claim.path)
    assert publish(reader, 1) == ["id-0"]
    later(monkeypatch, 10)
    assert publish(reader, 1) == ["id-1"]
    reader.close()
    return file.claim.path.with_suffix(DONE)


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        pytest.param(lambda marks: marks, [], id="none"),
        pytest.param(lambda marks: marks[:-1], ["id-1"], id="cut"),
        pytest.param(lambda marks: marks[:60] + b"9" + marks[61:], ["id-1"], id="a digit changed"),
        pytest.param(lambda marks: marks + b"000000", [], id="half a line more"),
        pytest.param(lambda marks: bytes(len(marks)), ["id-0", "id-1"], id="zeros"),
        pytest.param(lambda _: b"", ["id-0", "id-1"], id="lost"),
    ],
)
def test_k11_marks_that_cannot_be_believed_only_repeat(
    file: Spool, monkeypatch: pytest.MonkeyPatch, damage: object, again: list[str]
) -> None:
    marks = published_twice(file, monkeypatch)
    marks.write_bytes(damage(marks.read_bytes()))  # type: ignore[operator]
    reader = SpoolReader(file.claim.path)
    assert publish(reader) == again
    reader.close()
    assert publish(SpoolReader(file.claim.path)) == []


def test_k11_a_living_file_cut_short_is_read_again_and_followed_by_a_new_one(
    outbox: SpoolOutbox, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What `> file` does, or a rotation of logs that copies and cuts."""
    for n in range(3):
        outbox.commit(outbox.prepare([entry(n)], ""))
    assert publish(outbox, 2) == ["id-0", "id-1"]
    (path,) = spool.glob("*.spool")
    os.truncate(path, 0)
    # Before anybody has noticed.
    outbox.commit(outbox.prepare([entry(3)], ""))
    outbox.retry()
    assert "was cut short" in caplog.text
    outbox.commit(outbox.prepare([entry(4)], ""))
    told: list[str] = []
    while batch := publish(outbox):
        told += batch
    # The third was read before the cut, so that it may go out.
    assert [name for name in told if name != "id-2"] == ["id-3", "id-4"]
    assert len(list(spool.glob("*.spool"))) == 1


def test_another_file_under_the_name_is_noticed(outbox: SpoolOutbox, spool: Path) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    (path,) = spool.glob("*.spool")
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes() * 2)
    copy.replace(path)
    outbox.retry()
    outbox.commit(outbox.prepare([entry(1)], ""))
    assert publish(outbox) == ["id-0"]
    assert publish(outbox) == ["id-1"]


def test_one_relay_at_a_time_reads_a_file(file: Spool) -> None:
    file.prepare([entry(0)], final=True)
    first = SpoolReader(file.claim.path)
    with pytest.raises(BlockingIOError, match="another relay"):
        SpoolReader(file.claim.path)
    # Whoever only looks needs no lock.
    beside = SpoolReader(file.claim.path, marks=False)
    assert publish(beside) == ["id-0"]
    assert publish(first) == ["id-0"], "and marks nothing"
    first.close()
    assert publish(SpoolReader(file.claim.path)) == []


def catches_sigterm(pid: int) -> bool:
    """Tell whether a process has a handler for SIGTERM (Linux)."""
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_several_external_relays_do_no_work_twice(
    tmp_path: Path, stream: StreamReader, redis_server: RedisServer
) -> None:
    kinto = KintoServer(tmp_path, redis_server.url, "kinto.event_listeners.notify.relay = external").start()
    command = [sys.executable, "-m", "kinto_notify", "relay", "--ini", str(kinto.ini)]
    services = [subprocess.Popen(command) for _ in range(3)]
    try:
        for n in range(150):
            assert kinto.request("PUT", f"/buckets/b{n}")[0] == 201
        stream.wait(150)
        kinto.kill()
        eventually(lambda: not list(kinto.spool.glob("*.spool")))
        # The others may be done before one of them has begun.
        eventually(lambda: all(catches_sigterm(service.pid) for service in services))
        for service in services:
            service.send_signal(signal.SIGTERM)
        assert [service.wait(30) for service in services] == [0, 0, 0]
    finally:
        for service in services:
            service.kill()
            service.wait()
        kinto.stop()
    assert [c["id"] for _, c in stream.changes()] == [f"b{n}" for n in range(150)]


@pytest.mark.parametrize("days", [-1, 1])
def test_k25_a_clock_that_jumps_holds_nothing_up(file: Spool, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """A transaction that never ends holds the others back for seconds, and no longer for a clock that was set back."""
    file.prepare([entry(0)])
    file.commit(file.prepare([entry(1)]))
    reader = SpoolReader(file.claim.path)
    assert publish(reader) == []
    later(monkeypatch, days * 86_400)
    assert publish(reader) == ["id-1"]
    assert reader.depth(file.last).age in (0.0, pytest.approx(86_400, abs=60))


def test_k25_files_sort_by_age_though_the_clock_is_set_back(
    directory: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of an object over several files of a dead process is that of their names."""
    made = [directory.new()]
    later(monkeypatch, -86_400)
    made += [directory.new(), directory.new()]
    for claim in made:
        claim.release()
    assert directory.live() == [claim.path for claim in made]


def test_a_file_of_another_version_is_left_alone(
    directory: SpoolDirectory, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = b"kinto-notify spool 3 "
    raw = b"%b%08x\nwhatever that writes" % (said, zlib.crc32(said))
    spool.mkdir()
    path = spool / "ns@20261123T000000.000-host-1-abcd.spool"
    path.write_bytes(raw)
    adoption = Adoption(directory, StorageView(None))
    for _ in range(2):
        assert adoption.turn(lambda _: 0) == 0
    assert path.read_bytes() == raw
    assert caplog.text.count("another version") == 1


def test_what_was_in_doubt_is_decided_once_and_replayed_as_it_was(directory: SpoolDirectory) -> None:
    claim = directory.new()
    Spool(claim).prepare([Entry("e", b'{"data":{"n":1}}')])
    claim.release()
    told: list[object] = []

    def pump(orphan: SpoolReader) -> int:
        rows = orphan.waiting(10, 1 << 20)
        told.extend(json.loads(row.entry.body) for row in rows)
        orphan.published(rows)
        return len(rows)

    Adoption(directory, StorageView(None)).turn(pump)
    assert told == [{"data": {"n": 1, "maybe": True}}]
    (drained,) = directory.drained()
    assert [json.loads(one.entry.body) for one in of_spool(drained, 0)] == told
    # Without its marks too: all of a drained file is published.
    drained.with_suffix(DONE).unlink()
    assert len(list(of_spool(drained, 0))) == 1


def test_durability_full_syncs_each_step_and_the_directory(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def noting(sync: object, name: str) -> object:
        def noted(descriptor: int) -> None:
            synced.append(f"{name} {Path(os.readlink(f'/proc/self/fd/{descriptor}')).suffix}".strip())
            sync(descriptor)  # type: ignore[operator]

        return noted

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, noting(getattr(os, name), name))
    for durable in (False, True):
        outbox = SpoolOutbox(
            SpoolDirectory(spool / str(durable), "ns", durable=durable), Counters(None), durable=durable
        )
        outbox.commit(outbox.prepare([entry(0)], ""))
        outbox.abort(outbox.prepare([entry(1)], ""))
        assert publish(outbox) == ["id-0"]
    # Its parent's name for the directory, the directory's for the file, the row, its verdict, the row that is aborted.
    assert synced == ["fsync", "fsync", "fdatasync .spool", "fdatasync .spool", "fdatasync .spool"]


def test_a_backlog_holds_a_bounded_number_of_files_open(
    spool: Path, outbox: SpoolOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis away for a day must not take Kinto's descriptors."""
    monkeypatch.setattr(spool_outbox, "MAX_FILE_BYTES", 1)
    for n in range(50):
        outbox.commit(outbox.prepare([entry(n)], ""))
        outbox.upkeep(3600)
    assert len(list(spool.glob("*.spool"))) == 32
    assert outbox.depth().rows == 50
    told: list[str] = []
    while batch := publish(outbox):
        told += batch
    assert told == [f"id-{n}" for n in range(50)]


def test_the_first_line_names_the_form(file: Spool) -> None:
    file.prepare([entry(0)], final=True)
    assert file.claim.path.read_bytes().startswith(BEGIN)
    assert BEGIN.startswith(b"kinto-notify spool 2 ")


def test_a_spool_of_the_form_before_is_read(spool: Path) -> None:
    """What an older version left waits there still after an upgrade."""
    claim = SpoolDirectory(spool, "ns").new()
    Spool(claim).prepare([entry(0)], final=True)
    first = b"kinto-notify spool 1 "
    with claim.path.open("r+b") as raw:
        raw.write(b"%b%08x\n" % (first, zlib.crc32(first)))
    reader = SpoolReader(claim.path)
    assert [row.entry for row in reader.waiting(10, 1 << 20)] == [entry(0)]
    assert not reader.damage
    reader.close()
    claim.release()
