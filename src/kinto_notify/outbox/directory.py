"""The spool directory: which files there are, and whose process lives.

In: a directory and a namespace. Out: paths that this process may use, each with a lock that the kernel drops when
the process ends however it ends, so that a file whose lock is free is an orphan. Raises `OSError`.

A file is named `<namespace>@<host>-<pid>-<nonce>.spool`; beside it `.lock`; drained orphans end in `.drained`,
unreadable files in `.corrupt`.
"""

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPOOL, LOCK, DRAINED, CORRUPT = ".spool", ".lock", ".drained", ".corrupt"
_COMPANIONS = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Claim:
    """A spool file that is ours as long as the descriptor stays open."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Give the file up. In a forked child this does not free the parent's lock: both share it until both close."""
        os.close(self.descriptor)


class SpoolDirectory:
    """The files of one namespace in one directory."""

    def __init__(self, path: Path, namespace: str) -> None:
        self.path = path
        self.namespace = namespace

    def new(self) -> Claim:
        """Make a name for a new spool file and lock it; the directory is made if need be, for its user only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = "".join(c if c.isalnum() or c in ".-" else "_" for c in socket.gethostname())[:64] or "host"
        name = f"{self.namespace}@{host}-{os.getpid()}-{secrets.token_hex(4)}{SPOOL}"
        claim = self._lock(self.path / name)
        if claim is None:  # pragma: no cover - a nonce that is taken
            return self.new()
        return claim

    def orphans(self) -> Iterator[Claim]:
        """Claim, one by one, the files whose process is gone. The caller releases each."""
        for path in self.live():
            try:
                claim = self._lock(path)
            except PermissionError:
                # Another user's: that user's relay will find it.
                continue
            if claim is None:
                continue
            if path.exists():
                yield claim
            else:
                # Another relay finished it between our listing and our lock.
                self.forget(claim)

    def live(self) -> list[Path]:
        """Return the files that another process holds, or that are orphans still."""
        return sorted(self.path.glob(f"{self.namespace}@*{SPOOL}"))

    def retire(self, claim: Claim) -> None:
        """Set a drained file aside, for replay until its retention is over. It must be closed."""
        claim.path.rename(claim.path.with_suffix(DRAINED))
        self.forget(claim)

    def remove(self, claim: Claim) -> None:
        """Delete a closed file that holds nothing."""
        for companion in _COMPANIONS:
            Path(f"{claim.path}{companion}").unlink(missing_ok=True)
        self.forget(claim)

    def quarantine(self, claim: Claim) -> Path:
        """Set an unreadable file aside with what belongs to it; return its new name."""
        target = claim.path.with_suffix(f"{CORRUPT}-{time.time_ns() // 1_000_000}")
        for companion in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{claim.path}{companion}").rename(f"{target}{companion}")
        self.forget(claim)
        return target

    def forget(self, claim: Claim) -> None:
        """Drop the lock file of a file that is no longer there, then the lock."""
        claim.path.with_suffix(LOCK).unlink(missing_ok=True)
        claim.release()

    def purge(self, retention: int) -> None:
        """Delete drained files whose retention is over."""
        for path in self.path.glob(f"{self.namespace}@*{DRAINED}"):
            # Gone already, or another user's, whose relay will do it.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if path.stat().st_mtime < time.time() - retention:
                    path.unlink()

    def _lock(self, path: Path) -> Claim | None:
        descriptor = os.open(path.with_suffix(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A file of its own: closing any descriptor of a database file drops SQLite's own locks on it.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return Claim(path, descriptor)
