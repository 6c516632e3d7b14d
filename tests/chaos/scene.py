"""One run: real servers and daemons, a load, faults at their times; then peace, and what is left.

The publisher writes true stream entries and keeps them: what Redis may have lost with its last second it publishes
again under the same event ids, as `kinto-notify replay` does.
"""

import heapq
import itertools
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import redis

from chaos.plan import Fault, Size, faults
from chaos.record import RECIPIENTS, Done, Record
from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, FaultyDaemon
from support.events import change, event, publish
from support.faulty_smarthost import FaultySmarthost
from support.inbox import letters, machine_template
from support.rest import at_rest, keys_for_ever, waiting
from support.smtp_server import SmtpServerThread
from support.stream import eventually

NAMESPACE = "kinto-notify"
PREFIX = f"{{{NAMESPACE}}}"
#: So many that no digest gets more changes than a mail lists, however long all daemons are down.
COLLECTIONS = 40
#: What was published so many seconds before a kill of Redis is published again: everysec may lose one or two.
REPEAT_S = 5.0
#: After the last fault all must be at rest in this time (and the leases that the killed held).
PATIENCE_S = 120.0
SUBSCRIPTIONS = f"""\
[[subscription]]
name = "grouped"
recipients = ["{RECIPIENTS[0]}", "{RECIPIENTS[1]}"]
template = "machine"
digest = {{ wait = "500ms", interval = "0s", max_listed = 1000 }}

[[subscription]]
name = "each"
recipients = ["{RECIPIENTS[2]}"]
template = "machine"
digest = {{ wait = "0s", interval = "0s", group_by = ["change"] }}
"""


class Scene:
    """The servers, the daemons, and what is done to them; `run` once."""

    def __init__(self, directory: Path, seed: int, size: Size) -> None:
        self.record = Record(seed)
        self._size = size
        self._redis = RedisServer(directory, ("--appendfsync", "everysec"))
        self._smarthost = FaultySmarthost(seed, size.smtp_faults)
        self._smtp = SmtpServerThread(self._smarthost)
        self._plan = faults(seed, size)
        self._directory = directory
        self._daemons: list[DaemonProcess] = []
        self._stopped: set[str] = set()
        #: Where the log of each daemon's present life begins.
        self._born: dict[Path, int] = {}
        self._events: list[tuple[float, dict[str, object]]] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._start = 0.0

    def run(self) -> Record:
        with self._redis, self._smtp:
            try:
                self._daemons = [self._daemon(number) for number in range(self._size.daemons)]
                eventually(lambda: all(map(self._ready, self._daemons)), PATIENCE_S)
                self._start = self.record.start = time.monotonic()
                self._storm()
                self._peace()
            finally:
                for daemon in self._daemons:
                    daemon.kill()
        return self.record

    def _daemon(self, number: int) -> DaemonProcess:
        table = self._directory / "subscriptions.toml"
        table.write_text(SUBSCRIPTIONS)
        templates = machine_template(self._directory / "templates")
        made = (FaultyDaemon if self._size.lease else DaemonProcess)(
            self._directory,
            self._redis.url,
            self._smtp.url,
            name=f"daemon{number}",
            subscriptions=str(table),
            templates=str(templates),
        )
        if isinstance(made, FaultyDaemon):
            made.faulty(lease=self._size.lease)
        self._begin(made)
        return made

    def _begin(self, daemon: DaemonProcess) -> None:
        self._born[daemon.log] = daemon.log.stat().st_size if daemon.log.exists() else 0
        daemon.start()

    def _ready(self, daemon: DaemonProcess) -> bool:
        return b'"ready"' in daemon.log.read_bytes()[self._born[daemon.log] :]

    @property
    def _now(self) -> float:
        return time.monotonic() - self._start

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), act))

    # The storm.

    def _storm(self) -> None:
        for fault in self._plan:
            self._at(fault.at, lambda fault=fault: self._do(fault))  # type: ignore[misc]
        while self._agenda or len(self._events) < self._size.events:
            while self._agenda and self._agenda[0][0] <= self._now:
                heapq.heappop(self._agenda)[2]()
            self._write()
            # Not a wait for anything: the pace of the load.
            time.sleep(0.01)

    def _write(self) -> None:
        wanted = min(self._size.events, int(self._now / self._size.seconds * self._size.events))
        fresh = []
        for number in range(len(self._events), wanted):
            ident = f"r{number}"
            made = event(change(ident), collection_id=f"c{number % COLLECTIONS}")
            fresh.append((self._now, made))
            self.record.published[f"/buckets/b/collections/c/records/{ident}"] = self._now
        publish(self._redis.url, NAMESPACE, *(made for _, made in fresh))
        self._events += fresh

    def _do(self, fault: Fault) -> None:
        if fault.kind == "redis":
            self._kill_redis(fault.pause)
            return
        daemon = self._daemons[fault.daemon]
        if daemon.process is None or daemon.variables["name"] in self._stopped:
            # It is down already: a moment later.
            self._at(self._now + 0.5, lambda: self._do(fault))
        elif fault.kind == "kill":
            daemon.kill()
            self._note(f"killed {daemon.variables['name']}")
            self._at(self._now + fault.pause, lambda: self._begin(daemon))
        else:
            daemon.signal(signal.SIGSTOP)
            self._stopped.add(daemon.variables["name"])
            self._note(f"stopped {daemon.variables['name']} for {fault.pause:.1f} s")
            self._at(self._now + fault.pause, lambda: self._go_on(daemon))

    def _go_on(self, daemon: DaemonProcess) -> None:
        daemon.signal(signal.SIGCONT)
        self._stopped.discard(daemon.variables["name"])

    def _kill_redis(self, pause: float) -> None:
        before, at = self._flight(), self._now
        self._redis.kill()
        time.sleep(pause)
        self._redis.start()
        self.record.done.append(Done(at, f"redis killed for {pause:.1f} s", before | self._flight()))
        again = [made for when, made in self._events if when >= at - REPEAT_S]
        publish(self._redis.url, NAMESPACE, *again)
        self.record.repeated += len(again)

    def _note(self, what: str) -> None:
        self.record.done.append(Done(self._now, what, self._flight()))

    def _flight(self) -> frozenset[str]:
        """The Message-IDs of all deliveries that are under a lease (a few of them wait to be tried again)."""
        with redis.Redis.from_url(self._redis.url) as client:
            seconds, micros = client.time()
            now = seconds * 1000 + micros // 1000
            pipe = client.pipeline(transaction=False)
            for name in client.zrangebyscore(f"{PREFIX}:deliveries", f"({now}", "+inf"):
                pipe.hget(f"{PREFIX}:delivery:{name.decode()}", "headers")
            found = [re.search(rb"(?mi)^message-id:\s*(\S+)", headers or b"") for headers in pipe.execute()]
        return frozenset(one[1].decode() for one in found if one)

    # Peace.

    def _peace(self) -> None:
        record = self.record
        with redis.Redis.from_url(self._redis.url) as client:
            deadline = time.monotonic() + PATIENCE_S + (0 if self._size.lease else 700)
            while not (rest := at_rest(client)) and time.monotonic() < deadline:
                time.sleep(0.1)
            record.rest, record.waiting = rest, waiting(client)
            # A process that has only begun to start is ended by SIGTERM like any other.
            eventually(lambda: all(map(self._ready, self._daemons)), PATIENCE_S)
            record.exits = {daemon.variables["name"]: daemon.stop() for daemon in self._daemons}
            record.keys = keys_for_ever(client)
            for name in client.zrange(f"{PREFIX}:dead", 0, -1):
                told = client.hmget(f"{PREFIX}:dead:{name.decode()}", "kind", "reason", "recipient")
                record.dead.append(" ".join([name.decode(), *(one.decode() for one in told if one)]))
        record.seconds = self._now
        record.letters = letters(list(self._smtp.mails))
        record.dropped, record.smtp_faults = self._smarthost.dropped, self._smarthost.faults
