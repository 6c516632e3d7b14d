"""Who takes part: a program that is up and idle until events are handed to it and the gate is opened.

In: where Redis and the mail server are. Out: a `Server` with `hold`, `give` and `go`: while it is held (SIGSTOP, all
its processes) the events are put where it looks for them, its own way, and the clock begins with `go` (SIGCONT). So
nobody's start-up and nobody's queueing is timed.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import redis

from kinto_notify.demo.servers import Server
from mails.used import processor, stopped

PEERS = Path(__file__).parents[1] / "peers"
#: To redis-py 8 a blocked client is one that hangs, unless told.
PATIENCE_S = 120


class Contestant(Server):
    """One of them; `title` is what the table calls it."""

    title = ""

    def __init__(self, directory: Path, redis_url: str, smtp_port: int) -> None:
        super().__init__(directory)
        self.redis_url, self.smtp_port = redis_url, smtp_port

    @abstractmethod
    def give(self, events: Iterable[bytes]) -> None:
        """Put events where it looks for them."""

    def settle(self) -> None:
        """Wait until it has nothing more to do; most have not, when the mails are out."""

    def hold(self) -> None:
        """Stop it, and wait until it has stopped: a signal may take a while where processors are busy."""
        self._signal_all(signal.SIGSTOP)
        until(lambda: stopped(self))

    def go(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self, timeout: float = 10.0) -> None:
        """End it and all that it has started, even where an error left it held."""
        group = self.process.pid if self.process is not None else None
        if group is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)
        super().stop(timeout)
        if group is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def processor(self) -> float:
        """Return what all its processes have taken so far, in seconds."""
        return processor(self)


class Peer(Contestant):
    """A program of `peers/`; it says `ready` once for each of its processes that work."""

    script = ""
    workers = 1
    #: Which Python runs it: arq needs a redis-py that we do not.
    python = sys.executable

    def arguments(self) -> Sequence[str]:
        return [self.python, self.script]

    def command(self) -> Sequence[str]:
        return self.arguments()

    def environment(self) -> Mapping[str, str]:
        own = {"BENCH_REDIS": self.redis_url, "BENCH_SMTP_PORT": str(self.smtp_port), "BENCH_QUEUE": self.name}
        return {**own, "PYTHONPATH": str(PEERS), "PYTHONUNBUFFERED": "1"}

    def ready(self) -> bool:
        return self.log.read_text().count("ready") >= self.workers


class ListPeer(Peer):
    """One that pops from a Redis list, which anybody may push to."""

    def give(self, events: Iterable[bytes]) -> None:
        with redis.Redis.from_url(self.redis_url, socket_timeout=PATIENCE_S) as client:
            for batch in batches(events):
                client.lpush(self.name, *batch)

    def command(self) -> Sequence[str]:
        program, script, *rest = self.arguments()
        return [program, str(PEERS / script), *rest]


class QueuePeer(Peer):
    """One whose queue only its own client can fill: `python SCRIPT give FILE`."""

    def give(self, events: Iterable[bytes]) -> None:
        file = self.directory / f"{self.name}.jsonl"
        file.write_bytes(b"\n".join(events))
        command = [self.python, str(PEERS / self.script), "give", str(file)]
        subprocess.run(command, check=True, env={**os.environ, **self.environment()})


def batches(events: Iterable[bytes], size: int = 1000) -> Iterator[tuple[bytes, ...]]:
    """Cut them in pieces that one command of Redis takes."""
    remaining = iter(events)
    while batch := tuple(itertools.islice(remaining, size)):
        yield batch


def until(done: Callable[[], bool], limit: float = 60.0) -> None:
    """Wait until `done()` is true."""
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come to its end within {limit:.0f} s")
        time.sleep(0.01)
