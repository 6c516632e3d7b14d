"""A spool file read from front to back, frame by frame, while its process may be appending to it.

In: an open file and where to begin. Out: whole frames, in order, a bounded number of bytes at a time. What is no frame
is skipped and counted; an end that is not whole yet is left for later. Needs no lock: one `write` of the
writer is one frame or several. Raises `OSError`, `OtherVersion` among them.
"""

import os

from kinto_notify.outbox import frame
from kinto_notify.outbox.frame import Frame

_CHUNK = 1 << 20


class Frames:
    """The frames of one file from `offset` on. The descriptor stays the caller's."""

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self._file = descriptor
        #: All before it was handed out, or skipped.
        self.offset = offset
        self._skipped = 0
        self._garbage = 0
        #: Whether the file was cut short behind our back: all that is left of it is read again then.
        self.cut_short = False
        frame.check_version(os.pread(descriptor, len(frame.BEGIN) + 10, 0))
        if offset > os.fstat(descriptor).st_size:
            self._again()

    def more(self) -> list[Frame]:
        """Return the next frames; none at the end of what is whole."""
        while True:
            data = os.pread(self._file, _CHUNK, self.offset)
            if not data:
                if os.fstat(self._file).st_size >= self.offset:
                    return []
                self._again()
                continue
            found = self._whole(data)
            if not found:
                # Longer than a chunk, still being written, or damaged: what is left of the file tells. And a second
                # look, as the writer may have been taking back a row that did not fit on the disk.
                data = os.pread(self._file, self._left(), self.offset)
                found = self._whole(data)
            if found:
                return found
            gap, growing = frame.behind(data, self.offset) if data else (0, True)
            self._skipped += gap
            self.offset += gap
            if not gap:
                self._garbage = 0 if growing else len(data)
                return []

    @property
    def unreadable(self) -> int:
        """Return how many bytes are no frame, and can become none."""
        return self._skipped + self._garbage

    def torn(self) -> int:
        """Return how many bytes at the end may become a frame: of a dead process, a write that was not finished."""
        return self._left() - self._garbage

    def _left(self) -> int:
        return max(0, os.fstat(self._file).st_size - self.offset)

    def _whole(self, data: bytes) -> list[Frame]:
        found: list[Frame] = []
        position = 0
        while True:
            try:
                read = frame.parse(data, position, self.offset)
            except frame.UnreadableFrame:
                break
            if read is None:
                break
            found.append(read)
            position = read.end - self.offset
        self.offset += position
        if found:
            self._garbage = 0
        return found

    def _again(self) -> None:
        self.cut_short = True
        self.offset = 0
