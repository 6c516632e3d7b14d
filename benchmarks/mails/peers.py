"""What one would take instead, and the bounds: each a program of `peers/` and how it is started."""

import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import redis

from mails.contestant import PATIENCE_S, Contestant, ListPeer, QueuePeer, batches
from mails.sink import find

#: Where `make bench-mails` puts environments of their own.
_ENVIRONMENTS = Path(__file__).parents[2] / "build" / "peers"


def _bin(peer: str, program: str) -> str:
    return str(_ENVIRONMENTS / peer / "bin" / program)


class ListScript(ListPeer):
    """A session a mail, as the tutorial has it."""

    name = "list-script"
    title = "Redis list and smtplib, a session a mail (the tutorial)"

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "list_script.py"]


class KeepingScript(ListPeer):
    """One session for all mails."""

    name = "keeping-script"
    title = "Redis list and smtplib, one session kept"

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "list_script.py", "keep"]


class Emailer(ListPeer):
    """The hooks and mails of kinto-emailer."""

    name = "kinto-emailer"
    title = "kinto-emailer 4.0, its send for each event"

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "emailer.py"]


class Bare(ListPeer):
    """The prototype that keeps nothing."""

    name = "bare"
    title = "bare pipelined client, not durable"

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "bare.py"]


class Prototype(ListPeer):
    """What the mail path was designed after: entries of a stream, validated, and the same client."""

    name = "prototype"
    title = "pipelined prototype, validating, not durable"

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "prototype.py"]

    def give(self, events: Iterable[bytes]) -> None:
        with redis.Redis.from_url(self.redis_url, socket_timeout=PATIENCE_S) as client:
            for batch in batches(events):
                pipe = client.pipeline(transaction=False)
                for event in batch:
                    pipe.xadd(self.name, {"event": event})
                pipe.execute()


class DigestScript(ListPeer):
    """Ten digests, made by what one would write in an afternoon."""

    name = "digest-script"
    title = "RPOP 500 script, validating nothing"

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "digest_script.py"]


class SmtpPool(ListPeer):
    """Sessions of aiosmtplib and a ready message."""

    def __init__(self, directory: Path, redis_url: str, smtp_port: int, sessions: int) -> None:
        self.name = f"pool-{sessions}"
        self.title = f"aiosmtplib, {sessions} sessions, a ready message"
        self._sessions = sessions
        super().__init__(directory, redis_url, smtp_port)

    def arguments(self) -> Sequence[str]:
        return [sys.executable, "smtp_pool.py", str(self._sessions)]

    def give(self, events: Iterable[bytes]) -> None:
        super().give([b"%d" % sum(1 for _ in events)])


class Celery(QueuePeer):
    """Prefork, a process for each of our two processors."""

    name, script = "celery", "celery_tasks.py"
    title = "Celery 5.7, prefork, 2 processes"
    python = _bin("celery", "python")

    def arguments(self) -> Sequence[str]:
        worker = ["worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"]
        return [_bin("celery", "celery"), "-A", "celery_tasks", *worker]


class Arq(QueuePeer):
    """As its documentation starts it: ten jobs at once."""

    name, script = "arq", "arq_jobs.py"
    title = "arq 0.28, 10 jobs at once"
    python = _bin("arq", "python")

    def arguments(self) -> Sequence[str]:
        return [_bin("arq", "arq"), "arq_jobs.WorkerSettings"]


class Taskiq(QueuePeer):
    """As its documentation starts it: two processes."""

    name, script = "taskiq", "taskiq_tasks.py"
    title = "taskiq 0.13, Redis stream, 2 processes"
    workers = 2
    python = _bin("taskiq", "python")

    def arguments(self) -> Sequence[str]:
        return [_bin("taskiq", "taskiq"), "worker", "taskiq_tasks:broker", "--workers", "2"]


class SmtpSource(Contestant):
    """Postfix' own client, which has a process for each turn: it begins at the gate, and its start is timed."""

    name = "smtp-source"
    title = "smtp-source, 10 sessions, four round trips a mail"

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        return True

    def launch(self) -> None:
        find(self.name)

    def wait(self, timeout: float = 30.0) -> "SmtpSource":
        return self

    def give(self, events: Iterable[bytes]) -> None:
        self._number = sum(1 for _ in events)

    def hold(self) -> None:
        pass

    def go(self) -> None:
        options = ["-d", "-s", "10", "-m", str(self._number), "-l", "1000"]
        between = ["-f", "kinto@example.org", "-t", "anna@example.org", f"127.0.0.1:{self.smtp_port}"]
        subprocess.run([find(self.name), *options, *between], check=True)

    def processor(self) -> float:
        return _children()


def _children() -> float:
    """Return the processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


#: All that make 3,000 mails, in the order of the table.
ALL: Mapping[str, type[Contestant]] = {
    one.name: one for one in (ListScript, KeepingScript, Emailer, Celery, Arq, Taskiq, SmtpSource, Prototype, Bare)
}
