"""What waits in a spool file, in order, and how far all of it is done.

In: a file that its process may be appending to. Out: committed entries until they are marked as published; a mark is
where the oldest row without a fate begins. What is unreadable is skipped, and told in `damage`. Raises `OSError`;
`BlockingIOError` where another relay reads the file.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kinto_notify.outbox import frame
from kinto_notify.outbox.brief import marked
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.frame import Frame
from kinto_notify.outbox.frames import Frames
from kinto_notify.outbox.progress import Progress
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import now_ms
from kinto_notify.outbox.survey import Survey, decided, survey

#: A row prepared for longer than this no longer holds back what was committed after it.
HOLD_BACK_MS = 5000


class Waiting(NamedTuple):
    """A committed row that the stream does not have yet; `source` is None for one in memory."""

    seq: int
    entry: Entry
    source: "SpoolReader | None" = None
    #: Where it begins in its file.
    start: int = 0


class SpoolReader:
    """The reader of one spool file.

    `descriptor`: of the file, which may have lost its name; it stays the caller's. Without `marks` it reads all of the
    file from its beginning, beside whoever marks.
    """

    def __init__(self, path: Path, descriptor: int | None = None, *, marks: bool = True) -> None:
        self.path = path
        #: The number of the last row that was read.
        self.last = 0
        with contextlib.ExitStack() as undo:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if descriptor is None else os.dup(descriptor)
            undo.callback(os.close, self._file)
            self._progress = Progress(path, marks=marks)
            undo.callback(self._progress.close)
            self._frames = Frames(self._file, self._progress.offset if marks else 0)
            undo.pop_all()
        #: Whether there was ever a committed row.
        self.kept = self._frames.offset > 0
        # Those without a fate yet, in the order of the file, and which of them are committed, as what.
        self._rows: dict[int, Frame] = {}
        self._committed: dict[int, str] = {}
        self._known: Mapping[int, str] = {}

    @property
    def damage(self) -> str:
        """Say what of the file could not be read; nothing if all of it can."""
        lost = [f"{self._frames.unreadable} bytes are unreadable"] if self._frames.unreadable else []
        cut = ["it was cut short"] if self._frames.cut_short else []
        return ", ".join(lost + cut)

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest committed rows, at most `rows` and about `size` bytes.

        It stops at a row prepared a moment ago: its transaction may be committed already, and be the older one.
        """
        found, enough = self._ready(rows, size)
        while not enough and self._read():
            found, enough = self._ready(rows, size)
        return found

    def published(self, waiting: Sequence[Waiting]) -> None:
        """Mark what `waiting` returned as published."""
        for row in waiting:
            self._rows.pop(row.seq, None)
            self._committed.pop(row.seq, None)
        # Without the mark all that is published since the last one would be published again after a crash.
        with contextlib.suppress(OSError):
            first = next(iter(self._rows.values()), None)
            self._progress.mark(self._frames.offset if first is None else first.start)

    def survey(self) -> Survey:
        """Look through all that is not marked as published."""
        return survey(self._file, self._progress.offset)

    def decide(self, verdicts: Mapping[int, str]) -> None:
        """Take verdicts (by number) on rows that are in doubt, before anything was read."""
        self._known = verdicts

    def done(self, end: int) -> bool:
        """Tell, without a look at the file, whether all is settled in one that is `end` bytes long."""
        return self._frames.offset >= end and not self._rows

    def holding_back(self) -> bool:
        """Tell whether a row prepared a moment ago holds back what was committed after it."""
        return any(self._young(row) for seq, row in self._rows.items() if seq not in self._committed)

    def settled(self) -> bool:
        """Tell whether all that can be read has met its fate."""
        while not self._rows and self._read():
            pass
        return not self._rows

    def depth(self, last: int) -> Depth:
        """Tell how much waits without reading it all; `last` is the number of the writer's last row."""
        while not self._rows and self._read():
            pass
        first = next(iter(self._rows.values()), None)
        if first is None:
            return Depth()
        return Depth(len(self._rows) + max(0, last - self.last), max(0.0, (now_ms() - first.at) / 1000))

    def close(self) -> None:
        """Close the files."""
        os.close(self._file)
        self._progress.close()

    # --- inside ------------------------------------------------------------------------------------------------

    def _ready(self, rows: int, size: int) -> tuple[list[Waiting], bool]:
        """Return what can go out, and whether reading on would not change that."""
        found: list[Waiting] = []
        enough = True
        for seq, row in self._rows.items():
            if seq in self._committed:
                entry = marked(row.entry) if self._committed[seq] == frame.MAYBE else row.entry
                found.append(Waiting(seq, entry, self, row.start))
                size -= len(entry.body)
                if size <= 0 or len(found) >= rows:
                    return found, enough
            else:
                # What became of it may be told further on.
                enough = False
                if self._young(row):
                    break
        return found, False

    def _young(self, row: Frame) -> bool:
        # Either way: a clock that was set back must not make it young for as long.
        return abs(now_ms() - row.at) < HOLD_BACK_MS

    def _read(self) -> bool:
        """Take in some of what was not read yet; False if there is nothing whole."""
        found = self._frames.more()
        for one in found:
            self._take(one)
        return bool(found)

    def _take(self, one: Frame) -> None:
        if one.kind in frame.VERDICTS:
            for seq in decided(one, self._rows):
                self._fate(seq, one.kind)
        elif one.kind != frame.FIRST_LINE:
            self.last = one.first
            self._rows[one.first] = one
            if one.kind == frame.FINAL:
                self._fate(one.first, frame.COMMITTED)
            elif one.first in self._known:
                self._fate(one.first, self._known[one.first])

    def _fate(self, seq: int, kind: str) -> None:
        if seq in self._committed:
            # Told twice, or an abort after the commit: nothing takes a commit back.
            return
        if kind == frame.ABORTED:
            del self._rows[seq]
        else:
            self._committed[seq] = kind
            self.kept = True
