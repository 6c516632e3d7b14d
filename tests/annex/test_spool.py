"""The spool keeps what committed, over every fault of the disk, of the process and of the file itself."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import webtest

from kinto_notify.outbox.adoption import Orphan
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool
from kinto_notify.outbox.spool_outbox import SpoolOutbox

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
