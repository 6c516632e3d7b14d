"""The spool directory: which files there are, and whose process lives.

In: a directory and a namespace. Out: files that this process may use, each with a lock on it that the kernel drops when
the process ends however it ends, so that a file whose lock is free is an orphan. Raises `OSError`.

A file is named `<namespace>@<when it was begun>-<host>-<pid>-<nonce>.spool`, so that names sort by age; beside it
`.done`, how far it was published when; drained files end in `.drained`, unreadable ones in `.corrupt-<time>`.
"""

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SPOOL, DONE, DRAINED, CORRUPT = ".spool", ".done", ".drained", ".corrupt"


@dataclass(frozen=True, slots=True)
class Claim:
    """A spool file that is ours as long as the descriptor stays open."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Give the file up. In a forked child this does not free the parent's lock: both share it until both close."""
        os.close(self.descriptor)


class SpoolDirectory:
    """The files of one namespace in one directory. `durable`: a new file's name is on the disk when `new` returns."""

    def __init__(self, path: Path, namespace: str, *, durable: bool = False) -> None:
        self.path = path
        self.namespace = namespace
        self._durable = durable
        #: When the last file was begun, in ms: names sort by age though the clock is set back.
        self._begun = 0

    def new(self) -> Claim:
        """Make a new spool file and lock it; the directory is made if need be, for its user only."""
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sync(self.path.parent)
        host = "".join(c if c.isalnum() or c in ".-" else "_" for c in socket.gethostname())[:64] or "host"
        while True:
            self._begun = max(time.time_ns() // 1_000_000, self._begun + 1)
            begun = datetime.fromtimestamp(self._begun / 1000, UTC).strftime("%Y%m%dT%H%M%S")
            name = f"{self.namespace}@{begun}.{self._begun % 1000:03d}-{host}-{os.getpid()}-{secrets.token_hex(4)}"
            claim = _locked(self.path / f"{name}{SPOOL}", os.O_CREAT | os.O_EXCL)
            # None if a relay took it for an orphan before we had the lock: it will remove it, as it is empty.
            if claim is None:
                continue
            try:
                self._sync(self.path)
            except OSError:
                self.remove(claim)
                raise
            return claim

    def orphans(self, unusable: Callable[[Path, OSError], None] = lambda path, error: None) -> Iterator[Claim]:
        """Claim, one by one, the files whose process is gone, the oldest first. The caller releases each.

        `unusable` hears of what has such a name and can't be opened: that keeps nobody from the others.
        """
        for path in self.live():
            try:
                claim = _locked(path)
            except (PermissionError, FileNotFoundError):
                # Another user's, whose relay will find it; or finished by another relay since our listing.
                continue
            except OSError as error:
                unusable(path, error)
                continue
            if claim is not None:
                yield claim

    def live(self) -> list[Path]:
        """Return the files that a process holds, or that are orphans still, the oldest first."""
        return sorted(self.path.glob(f"{self.namespace}@*{SPOOL}"))

    def drained(self) -> list[Path]:
        """Return the files that are published as a whole and kept, the oldest first."""
        return sorted(self.path.glob(f"{self.namespace}@*{DRAINED}"))

    def retire(self, claim: Claim) -> None:
        """Set a drained file aside, for replay until its retention is over, which begins now."""
        with _released(claim):
            os.utime(claim.descriptor)
            try:
                claim.path.rename(claim.path.with_suffix(DRAINED))
            except FileNotFoundError:
                claim.path.with_suffix(DONE).unlink(missing_ok=True)

    def quarantine(self, claim: Claim) -> Path:
        """Set an unreadable file aside; return its new name."""
        target = claim.path.with_suffix(f"{CORRUPT}-{time.time_ns() // 1_000_000}")
        with _released(claim):
            with contextlib.suppress(FileNotFoundError):
                claim.path.rename(target)
            claim.path.with_suffix(DONE).unlink(missing_ok=True)
        return target

    def remove(self, claim: Claim) -> None:
        """Delete a file that holds nothing."""
        with _released(claim):
            for path in (claim.path, claim.path.with_suffix(DONE)):
                path.unlink(missing_ok=True)

    def purge(self, retention: int) -> None:
        """Delete drained files whose retention is over."""
        for path in self.drained():
            # Gone already, or another user's, whose relay will do it; or no file, or on a disk that takes nothing any
            # more: none of that may keep what waits from the stream.
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - retention:
                    path.with_suffix(DONE).unlink(missing_ok=True)
                    path.unlink()

    def make_room(self) -> Path | None:
        """Delete the oldest drained file before its time; None if there is none that can be deleted."""
        for path in self.drained():
            with contextlib.suppress(OSError):
                path.unlink()
                path.with_suffix(DONE).unlink(missing_ok=True)
                return path
        return None

    def _sync(self, path: Path) -> None:
        """Without it, a power cut may forget a file all of whose content is on the disk."""
        if self._durable:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _released(claim: Claim) -> Iterator[None]:
    """Give the file up at the end, whatever happens."""
    try:
        yield
    finally:
        claim.release()


def _locked(path: Path, more: int = 0) -> Claim | None:
    """Open and lock a file; None if another process has the lock, or the name is another file's by now."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | more, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return Claim(path, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
