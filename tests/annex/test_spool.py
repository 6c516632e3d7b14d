"""The spool keeps what committed, in order, until it is published; then for its retention."""

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from kinto_notify.outbox import spool_outbox
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.kept import of_spool
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.spool_reader import SpoolReader

BODY = b'{"data":{}}'


def entry(number: int, body: bytes = BODY) -> Entry:
    return Entry(f"id-{number}", body)


def waiting(source: SpoolReader | SpoolOutbox) -> list[str]:
    return [row.entry.id for row in source.waiting(1000, 1 << 30)]


def publish(source: SpoolReader | SpoolOutbox, rows: int = 1000) -> list[str]:
    batch = source.waiting(rows, 1 << 30)
    if batch:
        source.published(batch)
    return [row.entry.id for row in batch]


@pytest.fixture
def file(spool: Path) -> Spool:
    return Spool(SpoolDirectory(spool, "ns").new())


@pytest.fixture
def reader(file: Spool) -> SpoolReader:
    return SpoolReader(file.claim.path)


@pytest.fixture
def outbox(spool: Path) -> SpoolOutbox:
    return SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None))


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now, clock = time.time_ns() + int(seconds * 10**9), time.monotonic() + seconds
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: clock)


def test_only_what_committed_waits_in_its_order(file: Spool, reader: SpoolReader) -> None:
    tickets = [file.prepare([entry(n)]) for n in range(4)]
    file.commit(tickets[0])
    file.abort(tickets[1])
    file.commit(tickets[3])
    # Number 2 was prepared before 3 and may have committed before it: 3 must not overtake it.
    assert waiting(reader) == ["id-0"]
    file.commit(tickets[2])
    assert waiting(reader) == ["id-0", "id-2", "id-3"]


def test_a_commit_that_never_ends_does_not_hold_the_others_up(
    file: Spool, reader: SpoolReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = file.prepare([entry(0)])
    file.commit(file.prepare([entry(1)]))
    assert waiting(reader) == []
    later(monkeypatch, 6)
    assert publish(reader) == ["id-1"]
    file.commit(slow)
    assert publish(reader) == ["id-0"]


def test_all_entries_of_a_transaction_go_together(file: Spool, reader: SpoolReader) -> None:
    ticket = file.prepare([entry(n) for n in range(5)])
    assert waiting(reader) == []
    file.commit(ticket)
    assert waiting(reader) == [f"id-{n}" for n in range(5)]
    assert publish(reader, 2) == ["id-0", "id-1"]
    assert waiting(reader) == ["id-2", "id-3", "id-4"]
    assert [row.entry.id for row in reader.waiting(1000, 1)] == ["id-2"]
    assert reader.depth(file.last).rows == 3


def test_the_order_is_that_of_the_commits_over_a_long_backlog(file: Spool, reader: SpoolReader) -> None:
    """Where one reading ends between a row and its commit, what is behind must not overtake it."""
    for n in range(30):
        first, second = file.prepare([entry(2 * n, b"x" * 50_000)]), file.prepare([entry(2 * n + 1, b"x" * 50_000)])
        file.commit(second)
        file.commit(first)
    told: list[str] = []
    while batch := publish(reader, 7):
        told += batch
    assert told == [f"id-{n}" for n in range(60)]


def test_a_row_longer_than_one_reading(file: Spool, reader: SpoolReader) -> None:
    file.prepare([entry(0, b"x" * 5_000_000)], final=True)
    file.prepare([entry(1)], final=True)
    assert [len(row.entry.body) for row in reader.waiting(10, 1 << 30)] == [5_000_000, len(BODY)]


def test_an_abort_after_the_commit_takes_nothing_back(file: Spool, reader: SpoolReader) -> None:
    ticket = file.prepare([entry(0)])
    file.commit(ticket)
    file.abort(ticket)
    assert waiting(reader) == ["id-0"]


def test_after_a_crash_reading_goes_on_where_it_was(file: Spool, reader: SpoolReader) -> None:
    for n in range(3):
        file.commit(file.prepare([entry(n)]))
    publish(reader, 2)
    reader.close()
    assert waiting(SpoolReader(file.claim.path)) == ["id-2"]


def test_published_rows_are_kept_and_tell_when(
    file: Spool, reader: SpoolReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.abort(file.prepare([entry(9)]))
    tickets = [file.prepare([entry(n)]) for n in range(4)]
    for ticket in tickets[:3]:
        file.commit(ticket)
    publish(reader, 1)
    begin = time.time_ns() // 1_000_000
    later(monkeypatch, 60)
    publish(reader, 1)
    assert [one.entry.id for one in of_spool(file.claim.path, 0)] == ["id-0", "id-1"]
    (second,) = of_spool(file.claim.path, begin + 1000)
    assert (second.entry, second.at // 1000) == (entry(1), time.time_ns() // 10**9)


def test_nobody_else_may_read_it(outbox: SpoolOutbox, spool: Path) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    publish(outbox)
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert {path.suffix for path in spool.iterdir()} == {".spool", ".done"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.iterdir()} == {0o600}


def test_a_drained_file_is_kept_for_the_retention_then_deleted(spool: Path, outbox: SpoolOutbox) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    publish(outbox)
    outbox.close()
    directory = SpoolDirectory(spool, "ns")
    (drained,) = spool.glob("*.drained")
    directory.purge(3600)
    assert [one.entry.id for one in of_spool(drained, 0)] == ["id-0"]
    os.utime(drained, (time.time() - 3601,) * 2)
    directory.purge(3600)
    assert not list(spool.iterdir())


@pytest.mark.parametrize("long", [pytest.param(True, id="long"), pytest.param(False, id="old")])
def test_a_long_or_old_file_is_followed_by_a_new_one(
    spool: Path, outbox: SpoolOutbox, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    """Without it what was published would stay as long as the process lives."""
    outbox.commit(outbox.prepare([entry(0)], ""))
    open_ticket = outbox.prepare([entry(1)], "")
    if long:
        monkeypatch.setattr(spool_outbox, "MAX_FILE_BYTES", 10)
    else:
        later(monkeypatch, 3601)
    outbox.upkeep(24 * 3600)
    outbox.commit(outbox.prepare([entry(2)], ""))
    assert len(list(spool.glob("*.spool"))) == 2
    # The transaction that is still open in the first file comes before what the second one holds.
    told = publish(outbox)
    outbox.commit(open_ticket)
    while batch := publish(outbox):
        told += batch
    assert sorted(told) == ["id-0", "id-1", "id-2"]
    assert told[0] == "id-0"
    if long:
        assert told == ["id-0", "id-1", "id-2"]
    assert len(list(spool.glob("*.spool"))) == 1
    assert [one.entry.id for one in of_spool(next(spool.glob("*.drained")), 0)] == ["id-0", "id-1"]


def test_with_an_external_relay_a_file_that_is_followed_is_left_to_it(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = SpoolDirectory(spool, "ns")
    outbox = SpoolOutbox(directory, Counters(None), external=True)
    monkeypatch.setattr(spool_outbox, "MAX_FILE_BYTES", 10)
    still_open = outbox.prepare([entry(0)], "")
    outbox.upkeep(3600)
    assert list(directory.orphans()) == [], "a transaction may still decide on its rows"
    outbox.commit(still_open)
    outbox.commit(outbox.prepare([entry(1)], ""))
    monkeypatch.undo()
    outbox.upkeep(3600)
    (left,) = directory.orphans()
    assert waiting(SpoolReader(left.path)) == ["id-0"]
    assert outbox.depth().rows == 1


def test_writers_lose_and_repeat_nothing_while_files_follow_one_another(
    outbox: SpoolOutbox, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_outbox, "MAX_FILE_BYTES", 1)
    writers, each = 4, 150

    def write(writer: int) -> None:
        for number in range(each):
            receipt = outbox.prepare([Entry(f"{writer}-{number}", BODY)], "")
            (outbox.abort if number % 10 == 9 else outbox.commit)(receipt)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    told: list[str] = []
    while any(thread.is_alive() for thread in threads):
        outbox.upkeep(3600)
        told += publish(outbox, 3)
    while batch := publish(outbox):
        told += batch
    for writer in range(writers):
        own = [name for name in told if name.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(each) if number % 10 != 9]
    outbox.close()
    assert not list(spool.glob("*.spool"))


def test_upkeep_leaves_a_file_alone_that_is_neither(spool: Path, outbox: SpoolOutbox) -> None:
    outbox.commit(outbox.prepare([entry(0)], ""))
    outbox.upkeep(3600)
    outbox.commit(outbox.prepare([entry(1)], ""))
    assert len(list(spool.glob("*.spool"))) == 1


def test_a_process_that_wrote_nothing_leaves_nothing(spool: Path, outbox: SpoolOutbox) -> None:
    outbox.abort(outbox.prepare([entry(0)], ""))
    outbox.close()
    assert list(spool.iterdir()) == []


def test_depth_counts_what_waits_in_all_files(outbox: SpoolOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outbox.depth().rows == 0
    monkeypatch.setattr(spool_outbox, "MAX_FILE_BYTES", 1)
    for n in range(3):
        outbox.commit(outbox.prepare([entry(2 * n), entry(2 * n + 1)], ""))
        outbox.upkeep(3600)
    publish(outbox, 1)
    assert outbox.depth().rows == 5
    later(monkeypatch, 100)
    assert 100 <= outbox.depth().age < 200


def test_another_namespaces_orphans_are_left_alone(spool: Path) -> None:
    other = SpoolDirectory(spool, "other")
    claim = other.new()
    claim.release()
    assert list(SpoolDirectory(spool, "oth").orphans()) == []
    found = list(other.orphans())
    assert [orphan.path for orphan in found] == [claim.path]
    # Claimed once, it is nobody else's.
    assert list(other.orphans()) == []
    for orphan in found:
        orphan.release()


def test_a_final_row_ends_no_file_in_which_a_transaction_is_open(spool: Path) -> None:
    directory = SpoolDirectory(spool, "ns")
    outbox = SpoolOutbox(directory, Counters(None), external=True)
    still_open = outbox.prepare([entry(0)], "")
    outbox.commit(outbox.prepare([entry(1)], "", final=True))
    outbox._here().turn_over()
    outbox.upkeep(3600)
    assert list(directory.orphans()) == []
    outbox.commit(still_open)
    outbox.upkeep(3600)
    (orphan,) = directory.orphans()
    assert waiting(SpoolReader(orphan.path)) == ["id-0", "id-1"]


def test_a_sync_that_fails_keeps_the_entries_and_trusts_the_file_no_further(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a failed sync once, and takes the pages for clean after it."""
    outbox = SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None), durable=True)
    outbox.commit(outbox.prepare([entry(0)], ""))

    def fails(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fails)
        held = outbox.prepare([entry(1)], "")
    assert held.spool is None
    outbox.commit(held)
    outbox.commit(outbox.prepare([entry(2)], ""))
    outbox.retry()
    assert len(list(spool.glob("*.spool"))) == 2
    told: list[str] = []
    while batch := publish(outbox):
        told += batch
    assert sorted(told) == ["id-0", "id-1", "id-2"]
