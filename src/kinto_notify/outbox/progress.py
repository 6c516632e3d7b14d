"""How far a spool file is published, and since when: the file `.done` beside it.

In: an offset before which every row has met its fate. Out: where to begin after a crash, and when what was published.
A line is `<offset> <ms> <CRC-32>`; marks of the same second share one. Whoever marks holds a lock on it, so that one
relay at a time reads a file. Never synced: a mark that a power cut forgets makes some events go out again, under their
ids. Raises `OSError`, `BlockingIOError` where another relay has the lock.
"""

import fcntl
import os
import sys
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from kinto_notify.outbox.directory import DONE, DRAINED
from kinto_notify.outbox.spool import now_ms

_SAID = b"%020d %013d "
_BYTES = 44
_SHARE_MS = 1000


class Progress:
    """The marks of one spool file. Without `marks` they are only read, and the file may be missing."""

    def __init__(self, spool: Path, *, marks: bool = True) -> None:
        self._file: int | None = None
        #: The last mark.
        self.offset = 0
        self._at = 0
        self._since = 0
        path = spool.with_suffix(DONE)
        if not marks:
            self._resume(path.read_bytes() if path.exists() else b"")
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(error.errno, "another relay is at work on it") from None
            self._resume(os.pread(self._file, os.fstat(self._file).st_size, 0))
        except BaseException:
            self.close()
            raise

    def mark(self, offset: int) -> None:
        """Say that every row before `offset` has met its fate; a smaller one than the last takes all marks back."""
        if offset == self.offset or self._file is None:
            return
        now, at = now_ms(), self._at
        if offset < self.offset:
            os.ftruncate(self._file, 0)
            at = self._since = 0
        shares = at > 0 and self._since <= now < self._since + _SHARE_MS
        at -= _BYTES * shares
        said = _SAID % (offset, now)
        os.pwrite(self._file, b"%b%08x\n" % (said, zlib.crc32(said)), at)
        self.offset, self._at = offset, at + _BYTES
        if not shares:
            self._since = now

    def close(self) -> None:
        """Close the file, which gives up the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _resume(self, lines: bytes) -> None:
        for at in range(len(lines) // _BYTES * _BYTES - _BYTES, -1, -_BYTES):
            if (mark := _read(lines, at)) is not None:
                self.offset, self._at = mark[0], at + _BYTES
                return


class Marks:
    """When which part of a spool file was published, for `replay`."""

    def __init__(self, spool: Path) -> None:
        path = spool.with_suffix(DONE)
        marks = list(_all(path.read_bytes())) if path.exists() else []
        self._offsets, self._times = [mark[0] for mark in marks], [mark[1] for mark in marks]
        if spool.suffix == DRAINED:
            # All of it is published, though a last mark may be lost.
            self._offsets.append(sys.maxsize)
            self._times.append(int(spool.stat().st_mtime * 1000))

    @property
    def first(self) -> int | None:
        """Return when the first of it was published, in ms; None if nothing was."""
        return self._times[0] if self._times else None

    @property
    def end(self) -> int:
        """Return before which place all is published."""
        return self._offsets[-1] if self._offsets else 0

    def published_at(self, start: int) -> int | None:
        """Return when the row that begins at `start` was published, in ms; None if it was not."""
        line = bisect_right(self._offsets, start)
        return self._times[line] if line < len(self._times) else None


def _all(lines: bytes) -> Iterator[tuple[int, int]]:
    for at in range(0, len(lines) - _BYTES + 1, _BYTES):
        if (mark := _read(lines, at)) is not None:
            yield mark


def _read(lines: bytes, at: int) -> tuple[int, int] | None:
    """Read a mark; None if it was cut off in the middle, or is damaged."""
    said, crc = lines[at : at + 35], lines[at + 35 : at + _BYTES - 1]
    if lines[at + _BYTES - 1 : at + _BYTES] != b"\n" or b"%08x" % zlib.crc32(said) != crc:
        return None
    return int(said[:20]), int(said[21:34])
