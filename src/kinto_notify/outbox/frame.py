"""What a spool file is made of: rows, and what became of them, one after the other.

In: entries and verdicts. Out: bytes to append, and frames read back. A file begins with `BEGIN`. A row is `P <seq> <ms>
<id> <probe length> <body length> <CRC-32>` and a line feed, then probe, body and a line feed; `E` instead of `P` where
it needs no verdict. A verdict is `C <first> <last> <CRC-32>` (committed), `A` (aborted) or `M` (nobody can tell: maybe
committed). Each CRC is of all the frame says. Probe and body are on one line, and no body ends as a header does, so
that no frame can stand inside another. Bytes that are no frame are `UnreadableFrame`, a file of another version is
`OtherVersion`; form 1 is read as well.
"""

import errno
import re
import zlib
from typing import NamedTuple

from kinto_notify.outbox.split import Entry

PREPARED, FINAL, COMMITTED, ABORTED, MAYBE, FIRST_LINE = "P", "E", "C", "A", "M", ""
VERDICTS = (COMMITTED, ABORTED, MAYBE)
#: The number is that of this form, and of that of the entries in it. An unknown one is left alone.
_FORM = b"kinto-notify spool %d "
_BEGINNINGS = tuple(b"%b%08x\n" % (_FORM % form, zlib.crc32(_FORM % form)) for form in (1, 2))
#: What new files begin with. Form 1 had no brief entries but JSON arrays.
BEGIN = _BEGINNINGS[-1]
_BEGIN = re.compile(rb"(kinto-notify spool \d{1,9} )([0-9a-f]{8})\n")
_HEADER = re.compile(rb"(?:([PE]) (\d{1,18}) (\d{1,18}) (\S{1,80}) (\d{1,9}) (\d{1,9}) |([CAM]) (\d{1,18}) (\d{1,18}) )([0-9a-f]{8})\n")  # fmt: skip # noqa: E501
#: A longer row was never written: its header is not to be believed.
_LONGEST_ROW = 16 * 1024 * 1024
#: A header that is still being written: no line feed yet, and no longer than one can be.
_BEGUN = re.compile(rb"[PECAM][ -~]{0,300}\Z")
_NO_ENTRY = Entry("", b"")


class UnreadableFrame(Exception):
    """Here is no frame."""


class OtherVersion(OSError):
    """Another version of kinto-notify wrote this file, and only that can read it."""


# The relay makes one for each write, in the requests' time: a dataclass takes twice as long.
class Frame(NamedTuple):
    """One frame, from `start` to `end`: a row (then `first` is its number, and `entry` what it holds) or a verdict."""

    kind: str
    first: int
    last: int
    start: int
    end: int
    at: int = 0
    entry: Entry = _NO_ENTRY
    probe: str = ""


def row(kind: str, seq: int, at: int, entry: Entry, probe: str) -> bytes:
    """Write a row; `at` in milliseconds."""
    event_id, body = entry
    asked = probe.encode()
    said = f"{kind} {seq} {at} {event_id} {len(asked)} {len(body)} ".encode()
    rest = asked + body
    return b"%b%08x\n%b\n" % (said, zlib.crc32(rest, zlib.crc32(said)), rest)


def verdict(kind: str, first: int, last: int) -> bytes:
    """Write what became of the rows of a transaction."""
    said = b"%b %d %d " % (kind.encode(), first, last)
    return b"%b%08x\n" % (said, zlib.crc32(said))


def check_version(head: bytes) -> None:
    """Raise `OtherVersion` for the first bytes of a file that are not of this one."""
    found = _BEGIN.match(head)
    if found is not None and zlib.crc32(found[1]) == int(found[2], 16) and not head.startswith(_BEGINNINGS):
        raise OtherVersion(errno.EPROTONOSUPPORT, "another version of kinto-notify wrote it")


def parse(data: bytes, start: int, base: int = 0) -> Frame | None:
    """Read the frame at `start`; None where not all of it is there. `base` is added to its places."""
    found = _HEADER.match(data, start)
    if found is None:
        head = data[: len(BEGIN)]
        if start == 0 and base == 0 and any(begin.startswith(head) for begin in _BEGINNINGS):
            return Frame(FIRST_LINE, 0, 0, 0, len(BEGIN)) if len(head) == len(BEGIN) else None
        if start < len(data) and not _BEGUN.match(data, start):
            raise UnreadableFrame
        return None
    kind, seq, at, event_id, asked, length, said, first, last, crc = found.groups()
    header = data[start : found.start(10)]
    if said is not None:
        if zlib.crc32(header) != int(crc, 16):
            raise UnreadableFrame
        return Frame(said.decode(), int(first), int(last), base + start, base + found.end())
    middle = found.end() + int(asked)
    end = middle + int(length)
    if end - start > _LONGEST_ROW:
        raise UnreadableFrame
    if end >= len(data):
        return None
    probe, body = data[found.end() : middle], data[middle:end]
    if data[end] != 10 or zlib.crc32(body, zlib.crc32(header + probe)) != int(crc, 16):
        raise UnreadableFrame
    entry = Entry(event_id.decode(), body)
    return Frame(kind.decode(), int(seq), int(seq), base + start, base + end + 1, int(at), entry, probe.decode())


def behind(data: bytes, base: int = 0) -> tuple[int, bool]:
    """Return where the next frame begins behind what is no whole frame at the beginning, and whether that may become
    one. Where it may, only a whole frame behind it shows that it will not; 0: there is none.
    """
    try:
        growing = parse(data, 0, base) is None
    except UnreadableFrame:
        growing = False
    for found in _HEADER.finditer(data, 1):
        try:
            whole = parse(data, found.start(), base) is not None
        except UnreadableFrame:
            continue
        if whole or not growing:
            return found.start(), growing
    # What follows the last line feed may be a header that is being written.
    return 0 if growing else data.rfind(b"\n") + 1, growing
