"""A look through a spool file that keeps next to nothing of it: how much waits, and what is left in doubt.

In: an open file and where to begin. Out: a `Survey`. Raises `OSError`.
"""

from dataclasses import dataclass, field

from kinto_notify.outbox import frame
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.frame import Frame
from kinto_notify.outbox.frames import Frames
from kinto_notify.outbox.spool import now_ms


@dataclass(slots=True)
class Survey:
    """What stands in a file: rows that did not end in a rollback, and those whose end nobody told."""

    rows: int = 0
    #: When the first of them was written, in ms.
    oldest: int | None = None
    #: By number, as far as they are in doubt.
    in_doubt: dict[int, Frame] = field(default_factory=dict)
    #: How many bytes at the end are no whole frame.
    torn: int = 0

    @property
    def depth(self) -> Depth:
        """Say it in rows and seconds; the host's clock may have been set back meanwhile."""
        return Depth(self.rows, 0.0 if self.oldest is None else max(0.0, (now_ms() - self.oldest) / 1000))


def survey(descriptor: int, offset: int) -> Survey:
    """Look through the file from `offset` on."""
    frames, result = Frames(descriptor, offset), Survey()
    while found := frames.more():
        for one in found:
            if one.kind in frame.VERDICTS:
                for seq in decided(one, result.in_doubt):
                    del result.in_doubt[seq]
                    result.rows -= one.kind == frame.ABORTED
            elif one.kind != frame.FIRST_LINE:
                result.rows += 1
                result.oldest = one.at if result.oldest is None else result.oldest
                if one.kind == frame.PREPARED:
                    result.in_doubt[one.first] = one
    result.torn = frames.torn()
    return result


def first_row(descriptor: int, offset: int) -> Frame | None:
    """Return the first row from `offset` on; None if there is none."""
    frames = Frames(descriptor, offset)
    while found := frames.more():
        for one in found:
            if one.kind in (frame.PREPARED, frame.FINAL):
                return one
    return None


def decided(verdict: Frame, known: dict[int, Frame]) -> list[int]:
    """Return the numbers of the known rows that a verdict is on."""
    if verdict.last - verdict.first > len(known):
        return [seq for seq in known if verdict.first <= seq <= verdict.last]
    return [seq for seq in range(verdict.first, verdict.last + 1) if seq in known]
