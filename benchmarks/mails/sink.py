"""`smtp-sink`, Postfix' own: takes mails, throws them away, and counts them.

In: where its files may stand. Out: a server whose `count()` is how many mails it has taken so far. It writes a running
count at each final dot to a file that is read from its end: a look costs it nothing, and us a few microseconds. It
offers PIPELINING. `Missing` where Postfix is not installed.
"""

import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from kinto_notify.demo.servers import Server

#: Debian keeps it where only root looks.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
#: Sessions at once, and how long one may be idle: a peer's turn comes again after minutes.
_SESSIONS, _PATIENCE_S = 1000, 3600
#: Longer than the longest count that it writes.
_TAIL = 200
#: It refuses to be root; and by its own change of user (`-u`) the kernel would forget to end it with us.
_AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=TERM")


class Missing(Exception):
    """A program of Postfix is not installed."""


def find(program: str) -> str:
    """Return the path of `smtp-sink` or `smtp-source`."""
    if path := shutil.which(program, path=_PATH):
        return path
    raise Missing(f"{program} is missing: it is part of Postfix (Debian and Ubuntu: apt install postfix)")


class Sink(Server):
    """The smarthost of all contestants."""

    name = "smtp-sink"

    def command(self) -> Sequence[str]:
        limits = ["-m", str(_SESSIONS), "-t", str(_PATIENCE_S)]
        command = [find(self.name), "-c", *limits, f"127.0.0.1:{self.port}", str(_SESSIONS)]
        return [*_AS_NOBODY, *command] if os.geteuid() == 0 else command

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                return link.recv(3) == b"220"
        except OSError:
            return False

    def count(self) -> int:
        """Return how many mails it has taken."""
        return last_count(self.log)

    def wait(self, timeout: float = 30.0) -> "Sink":
        super().wait(timeout)
        return self

    def wait_for(self, count: int, *, limit: float, every: float = 0.002) -> float:
        """Wait until it has taken so many, looking each so many seconds; return the time (`perf_counter`)."""
        deadline = time.perf_counter() + limit
        while (found := self.count()) < count:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"smtp-sink has {found} mails after {limit:.0f} s, not {count}")
            time.sleep(every)
        return time.perf_counter()


def last_count(log: Path) -> int:
    """Read the last whole `sess=1 quit=0 mesg=17` of a file; each ends with a carriage return."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        told = file.read().rpartition(b"\r")[0].rpartition(b"mesg=")[2]
    return int(told) if told.strip().isdigit() else 0
