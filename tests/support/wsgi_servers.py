"""Kinto in the servers that people run it in, which fork their workers before or after Kinto is loaded.

The memory backend is each worker's own: a test writes what any worker can take, buckets.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kinto_notify.demo.servers import KintoServer

TESTS = Path(__file__).parents[1]
APPLICATION = "support.wsgi_app:application"
OBSTACLE = """\
kinto.event_listeners.obstacle.use = support.obstacle
"""


class ForkingKinto(KintoServer):
    """A Kinto with `workers` processes; `options` are further arguments of its server."""

    workers = 3

    def __init__(
        self, directory: Path, redis_url: str, *options: str, workers: int | None = None, settings: str = ""
    ) -> None:
        super().__init__(directory, redis_url, OBSTACLE + settings)
        self.options = options
        self.workers = workers or self.workers

    def program(self, name: str) -> str:
        return str(Path(sys.executable).with_name(name))

    def environment(self) -> Mapping[str, str]:
        return {
            **super().environment(),
            "PYTHONPATH": str(TESTS),
            "PYTHONWARNINGS": "ignore",
            "KINTO_EVENT_LISTENERS": "notify obstacle",
        }

    def writers(self) -> set[int]:
        """The processes that have a spool file now."""
        return {int(path.name.rsplit("-", 2)[1]) for path in self.spool.glob("*.spool")}

    def spools_open_in(self, pid: int) -> set[int]:
        """Whose spool files a process has open, by their process ids. (Lock files are opened to look for orphans.)"""
        found = set()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                name, spool, _ = Path(os.readlink(descriptor)).name.partition(".spool")
            except FileNotFoundError:
                continue
            if spool:
                found.add(int(name.rsplit("-", 2)[1]))
        return found


class Gunicorn(ForkingKinto):
    name = "gunicorn"

    def command(self) -> Sequence[str]:
        address = f"127.0.0.1:{self.port}"
        workers = ["--workers", str(self.workers), "--worker-tmp-dir", str(self.directory)]
        return [self.program("gunicorn"), "--bind", address, *workers, *self.options, APPLICATION]


class GunicornPreload(Gunicorn):
    """Loads Kinto once, in the master, and forks it."""

    def command(self) -> Sequence[str]:
        return [*super().command(), "--preload"]


class Granian(ForkingKinto):
    name = "granian"
    workers = 4

    def command(self) -> Sequence[str]:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers)]
        return [self.program("granian"), "--interface", "wsgi", *where, *self.options, APPLICATION]


class Uwsgi(ForkingKinto):
    """uWSGI loads Kinto in its master and forks it, unless told otherwise."""

    name = "uwsgi"

    def command(self) -> Sequence[str]:
        where = ["--http-socket", f"127.0.0.1:{self.port}", "--master", "--die-on-term"]
        loads = ["--processes", str(self.workers), "--module", APPLICATION]
        return [self.program("uwsgi"), *where, *loads, *self.options]
