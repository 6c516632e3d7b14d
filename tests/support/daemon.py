"""The installed `kinto-notify run` in a subprocess, with settings of the test's own and no others."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kinto_notify.demo.servers import free_port
from support.stream import eventually

PROGRAM = str(Path(sys.executable).with_name("kinto-notify"))


def clean_environment(**variables: str) -> dict[str, str]:
    """Ours without any KINTO_NOTIFY_* of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KINTO_NOTIFY_")}
    return {**kept, **{f"KINTO_NOTIFY_{name.upper()}": value for name, value in variables.items()}}


def command(*arguments: str, stdin: str | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run one of the installed commands to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
        check=False,
    )


class DaemonProcess:
    """One daemon; quick by default: digests close at once, retries come within a second."""

    #: What is started; `run` and more follow.
    program: tuple[str, ...] = (PROGRAM,)

    def __init__(self, directory: Path, redis_url: str, smtp_url: str, **variables: str) -> None:
        self.log = directory / f"daemon-{variables.get('name', 'one')}.log"
        self.port = free_port()
        self.variables = {
            "redis_url": redis_url,
            "smtp_url": smtp_url,
            "sender": "Kinto <kinto@example.org>",
            "name": "one",
            "digest_wait": "0s",
            "digest_interval": "0s",
            "retry_min": "1s",
            "retry_max": "2s",
            "web_bind": f"127.0.0.1:{self.port}",
            "log_format": "json",
            **variables,
        }
        self.extra_environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "run", *arguments],
                env=clean_environment(**self.variables) | self.extra_environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, a dictionary a line; what is no JSON stands under `text`."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"event": "", "text": line})
        return found

    def told(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event of the vocabulary."""
        return [line for line in self.lines() if line.get("event") == event]

    def wait_told(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        return eventually(lambda: len(found := self.told(event)) >= count and found)  # type: ignore[no-any-return]

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def metric(self, name: str) -> float:
        """One sample of the exposition, by its full name with labels."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no metric {name}")

    def resident(self) -> int:
        """Resident memory in bytes, now."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def peak(self) -> int:
        """The most resident memory it ever had, in bytes."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """SIGTERM and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process = None
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class FaultyDaemon(DaemonProcess):
    """The same command with a crash point or short leases built in: see `support.faulty`."""

    #: -P: what stands beside the script is not on its path.
    program = (sys.executable, "-P", str(Path(__file__).with_name("faulty.py")))

    def faulty(self, point: str = "", act: str = "kill", passage: int = 1, lease: float = 0.0) -> Self:
        """Say what happens where; with `lease`, leases last so many seconds."""
        told = {"FAULTY": f"{point}:{act}:{passage}"} if point else {}
        told |= {"FAULTY_LEASE": str(lease)} if lease else {}
        self.extra_environment |= told
        return self
