"""The two ways to write to a contestant's Kinto: webtest in its own process, and HTTP to `kinto start`.

In: a contestant. Out: blocks of times. Every Kinto is a process of its own, so that none warms another's caches.
"""

import base64
import gc
import http.client
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from contestants import Contestant, as_json
from kinto_notify.demo.servers import KINTO_INI, KINTO_USER, KintoServer
from support.kinto_app import MEMORY, close, kinto_app
from tools.write_cost import COLLECTION, block, body

#: So many records are written over and over.
_RECORDS = 50


class Kinto(Protocol):
    """One contestant's Kinto, ready."""

    def block(self, first: int, number: int) -> list[float]:
        """Write `number` times and return each time in milliseconds."""

    def processor(self) -> float:
        """Tell how much processor time it has taken so far, with all its threads, in milliseconds."""

    def close(self) -> None:
        """End it."""


def processor_of(process: "subprocess.Popen[Any] | None") -> float:
    """Add up what the threads of a process have run so far (Linux; `stat` would say it in steps of 10 ms)."""
    assert process is not None
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e6


def record(number: int) -> str:
    """Return the path of a record."""
    return f"{COLLECTION}/records/r{number % _RECORDS}"


class InProcess:
    """The application called in its own process, without a server."""

    def __init__(self, contestant: Contestant, storage: Mapping[str, str], _directory: Path) -> None:
        command = [sys.executable, "-W", "ignore", str(Path(__file__)), as_json(contestant, storage)]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
            text=True,
        )

    def block(self, first: int, number: int) -> list[float]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{first} {number}\n")
        self._child.stdin.flush()
        taken: list[float] = json.loads(self._child.stdout.readline())
        return taken

    def processor(self) -> float:
        return processor_of(self._child)

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(60)


def serve(told: str) -> None:
    """The child: a line with two numbers on standard input is a block of writes to time."""
    wanted = json.loads(told)
    app = kinto_app(wanted["settings"])
    app.put_json("/v1/buckets/b")
    app.put_json(COLLECTION, {"data": wanted["metadata"]})
    # Or each `collect` below would look through all of Kinto, for longer than a turn takes.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        first, number = map(int, line.split())
        # What WebTest leaves to the collector would fall on whoever's turn it is.
        gc.collect()
        print(json.dumps(block(lambda n: app.put_json(record(n), body(n)), first, number)), flush=True)
    close(app)


class OverHttp:
    """`kinto start` in a process of its own; one connection, as a proxy in front of Kinto keeps it."""

    def __init__(self, contestant: Contestant, storage: Mapping[str, str], directory: Path) -> None:
        self._server = _Server(directory, json.loads(as_json(contestant, storage))["settings"]).start()
        self._link = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        token = base64.b64encode(":".join(KINTO_USER).encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._put("/v1/buckets/b", {})
        self._put(COLLECTION, {"data": contestant.metadata})

    def block(self, first: int, number: int) -> list[float]:
        return block(lambda n: self._put(record(n), body(n)), first, number)

    def processor(self) -> float:
        return processor_of(self._server.process)

    def close(self) -> None:
        self._link.close()
        self._server.stop()

    def _put(self, path: str, content: Mapping[str, object]) -> None:
        self._link.request("PUT", path, json.dumps(content), self._headers)
        answer = self._link.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), text


class _Server(KintoServer):
    """`kinto start` with settings of one's own and no others."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        super().__init__(directory, "")
        logging = KINTO_INI[KINTO_INI.index("[loggers]") :]
        lines = ["[server:main]", "use = egg:waitress#main", "host = 127.0.0.1", f"port = {self.port}"]
        lines += ["[app:main]", "use = egg:kinto"]
        for key, value in {**MEMORY, **settings}.items():
            if key != "settings_prefix":
                lines.append(f"{'' if key.startswith(('multiauth.', 'mail.')) else 'kinto.'}{key} = {value}")
        self.ini.write_text("\n".join(lines) + "\n" + logging)


if __name__ == "__main__":
    serve(sys.argv[1])
