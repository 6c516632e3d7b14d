"""The spool's files under any sequence of writes, readings and deaths, cut anywhere, damaged anywhere."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.frame import BEGIN
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool, Ticket
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView

#: A body may hold anything JSON may, such as what looks like a frame.
BODIES = st.one_of(
    st.binary(max_size=40).map(lambda raw: {"data": {"x": raw.hex()}}),
    st.sampled_from([{"data": {"x": "\nC 1 1 00000000\nE 2 1 id 0 2 00000000\n{}\n"}}, {"data": {"x": "y" * 3000}}]),
)


@dataclass
class Written:
    """One transaction as it was written: where its rows and its verdict stand in the file."""

    ids: list[str]
    spans: list[tuple[int, int]]
    #: None: not told yet.
    committed: bool | None
    verdict: tuple[int, int] | None = None


@dataclass
class Journal:
    """A spool, what was done to it, and what its readers published."""

    directory: SpoolDirectory
    spool: Spool
    open: list[tuple[Ticket, Written]] = field(default_factory=list)
    all: list[Written] = field(default_factory=list)
    told: list[tuple[str, bool]] = field(default_factory=list)
    bodies: dict[str, object] = field(default_factory=dict)
    reader: SpoolReader | None = None

    @property
    def path(self) -> Path:
        return self.spool.claim.path

    def write(self, bodies: list[object], kind: str) -> None:
        """Write a transaction; `kind` says what becomes of it, and when."""
        made = [Entry(f"id-{len(self.bodies) + n}", json.dumps(body).encode()) for n, body in enumerate(bodies)]
        self.bodies |= {one.id: body for one, body in zip(made, bodies, strict=True)}
        begin = self.spool.end or len(BEGIN)
        ticket = self.spool.prepare(made, final=kind == "final")
        # Rows of one transaction are written at once: a torn write may leave some of them.
        rows = self.path.read_bytes()[begin : self.spool.end]
        spans, at = [], begin
        for one in made:
            length = rows.index(one.body, at - begin) + len(one.body) + 1 - (at - begin)
            spans.append((at, at + length))
            at += length
        written = Written([one.id for one in made], spans, True if kind == "final" else None)
        self.all.append(written)
        if kind in ("commit", "abort"):
            self.decide(ticket, written, kind == "commit")
        elif kind == "open":
            self.open.append((ticket, written))

    def decide(self, ticket: Ticket, written: Written, committed: bool) -> None:
        begin = self.spool.end
        (self.spool.commit if committed else self.spool.abort)(ticket)
        written.committed, written.verdict = committed, (begin, self.spool.end)

    def read(self, rows: int, crash: bool) -> None:
        """A relay's turn; with a crash, the stream has them and the marks do not."""
        self.reader = self.reader or SpoolReader(self.path)
        found = self.reader.waiting(rows, 1 << 20)
        self.tell(found)
        if not crash:
            self.reader.published(found)
        if crash:
            self.reader.close()
            self.reader = None

    def tell(self, found: list[object]) -> None:
        for row in found:
            entry: Entry = row.entry  # type: ignore[attr-defined]
            event = json.loads(entry.body)
            self.told.append((entry.id, event["data"].pop("maybe", False)))
            assert event == self.bodies[entry.id], "what is published is what was written"

    def die(self) -> None:
        if self.reader is not None:
            self.reader.close()
        self.spool.claim.release()

    def adopt(self) -> None:
        def pump(orphan: SpoolReader) -> int:
            found = orphan.waiting(3, 1 << 20)
            self.tell(list(found))
            orphan.published(found)
            return len(found)

        Adoption(self.directory, StorageView(None)).turn(pump)
        assert not list(self.directory.live()), "nothing is left to do"


def journal(place: str) -> Journal:
    directory = SpoolDirectory(Path(place), "ns")
    return Journal(directory, Spool(directory.new()))


WRITES = st.tuples(
    st.just("write"),
    st.lists(BODIES, min_size=1, max_size=3),
    st.sampled_from(["final", "commit", "commit", "abort", "open", "never"]),
)
DECIDES = st.tuples(st.just("decide"), st.integers(0, 9), st.booleans())
READS = st.tuples(st.just("read"), st.integers(1, 4), st.booleans())


def play(made: Journal, steps: list[tuple[object, ...]]) -> None:
    for name, first, second in steps:
        if name == "write":
            made.write(first, second)  # type: ignore[arg-type]
        elif name == "read":
            made.read(first, second)  # type: ignore[arg-type]
        elif made.open:
            made.decide(*made.open.pop(first % len(made.open)), second)  # type: ignore[arg-type, operator]


def check(made: Journal, whole: object, *, once: bool) -> None:
    """`whole(span)` tells whether these bytes of the file are as they were written."""
    told: dict[str, list[bool]] = {}
    for event_id, maybe in made.told:
        told.setdefault(event_id, []).append(maybe)
    for one in made.all:
        verdict = one.verdict is None or whole(one.verdict)  # type: ignore[operator]
        for event_id, span in zip(one.ids, one.spans, strict=True):
            got = told.pop(event_id, [])
            if not whole(span):  # type: ignore[operator]
                assert not got, "half a row is no row"
            elif one.committed is True and verdict:
                assert got, f"{event_id} is lost"
                assert not any(got)
            elif one.committed is False and verdict:
                assert not got, f"{event_id} was rolled back"
            else:
                assert got, "in doubt, so it is published"
                assert all(got), "and marked"
            assert len(got) <= 1 or not once
    assert not told


@given(st.lists(st.one_of(WRITES, WRITES, DECIDES, READS), max_size=25))
@settings(deadline=None, max_examples=150)
def test_k08_what_was_committed_is_published_whoever_dies_when(steps: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory() as place:
        made = journal(place)
        play(made, steps)
        made.die()
        made.adopt()
        check(made, lambda _: True, once=not any(step[0] == "read" and step[2] for step in steps))


@given(st.lists(st.one_of(WRITES, DECIDES), min_size=1, max_size=12), st.integers(min_value=0))
@settings(deadline=None, max_examples=200)
def test_k11_a_file_cut_at_any_byte(steps: list[tuple[object, ...]], where: int) -> None:
    """As a power cut leaves it, or the write of a killed process: what is whole before the cut goes out, once."""
    with TemporaryDirectory() as place:
        made = journal(place)
        play(made, steps)
        cut = where % (made.spool.end + 1)
        os.truncate(made.path, cut)
        made.die()
        made.adopt()
        check(made, lambda span: span[1] <= cut, once=True)


@given(
    st.lists(st.one_of(WRITES, DECIDES), min_size=1, max_size=12),
    st.integers(min_value=0),
    st.one_of(st.integers(1, 255), st.none()),
    st.integers(1, 600),
)
@settings(deadline=None, max_examples=300)
def test_k11_a_byte_changed_or_bytes_zeroed_anywhere(
    steps: list[tuple[object, ...]], where: int, flip: int | None, length: int
) -> None:
    """What the damage does not touch goes out, once; what it does touch is never taken for anything else."""
    with TemporaryDirectory() as place:
        made = journal(place)
        play(made, steps)
        raw = bytearray(made.path.read_bytes())
        if not raw:
            return
        begin = where % len(raw)
        end = begin + 1 if flip is not None else min(len(raw), begin + length)
        raw[begin:end] = bytes([raw[begin] ^ flip]) if flip is not None else bytes(end - begin)
        made.path.write_bytes(raw)
        made.die()
        made.adopt()
        check(made, lambda span: span[1] <= begin or span[0] >= end, once=True)
        last = max(span[0] for one in made.all for span in [*one.spans, one.verdict or (0, 0)])
        # At its very end it may look like the write of a killed process.
        assert begin >= last or list(Path(place).glob("*.corrupt-*")), "and it is set aside"


def published(made: Journal, raw: bytes) -> list[tuple[str, bool]]:
    """What goes out, and whether as maybe, of a file that holds these bytes when its process is gone."""
    made.path.write_bytes(raw)
    made.die()
    made.adopt()
    return made.told


@pytest.mark.parametrize("committed", [True, False])
def test_k11_no_bit_of_a_verdict_makes_another_one_of_it(tmp_path: Path, committed: bool) -> None:
    for bit in range(8 * len("A 1 1 01234567\n")):
        made = journal(str(tmp_path))
        made.write([{"data": {}}], "commit" if committed else "abort")
        raw = bytearray(made.path.read_bytes())
        at = raw.index(b"\nC 1 1 " if committed else b"\nA 1 1 ") + 1
        raw[at + bit // 8] ^= 1 << bit % 8
        assert published(made, bytes(raw)) == [("id-0", True)], "nobody knows what became of it"


def test_k11_a_length_that_is_not_true_hides_no_row_behind_it(tmp_path: Path) -> None:
    """It says that the row is not whole yet: another one behind it shows that it never will be."""
    made = journal(str(tmp_path))
    for _ in range(3):
        made.write([{"data": {}}], "final")
    raw = made.path.read_bytes()
    assert raw.count(b" 0 12 ") == 3
    assert published(made, raw.replace(b" 0 12 ", b" 0 99999 ", 1)) == [("id-1", False), ("id-2", False)]
    assert list(tmp_path.glob("*.corrupt-*"))


def test_k11_a_damaged_first_line_is_no_other_version(tmp_path: Path) -> None:
    made = journal(str(tmp_path))
    made.write([{"data": {}}], "final")
    assert published(made, made.path.read_bytes().replace(b"spool 2 ", b"spool 3 ", 1)) == [("id-0", False)]
