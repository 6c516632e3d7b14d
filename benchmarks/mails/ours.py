"""Ours: the installed `kinto-notify run` as systemd would start it, and a namespace of its own in Redis.

In: its subscriptions as TOML, further settings. Out: a contestant. Nothing is switched off for it: it logs, counts,
serves its pages and stores each step, in a Redis with an append-only file.
"""

import contextlib
import sys
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import redis

from kinto_notify import wire
from mails.contestant import Contestant, batches, until

#: One mail for each change, at once: what every peer does.
EACH = """
[[subscription]]
name = "each"
recipients = ["anna@example.org"]
digest = { wait = "0s", interval = "0s", group_by = ["change"] }
"""
#: What is on its way through the daemon stands in one of these.
_WORK = ("due", "frozen", "deliveries")

#: Ten digests, each due when it has all that a turn brings, and not before.
_GATHERED = """
[[subscription]]
name = "gathered"
recipients = ["anna@example.org"]
digest = {{ wait = "1h", interval = "0s", group_by = ["collection_id"], max_events = {} }}
"""
_TO_ALL = """
[[subscription]]
name = "to-all"
recipients = [{}]
digest = {{ wait = "0s", interval = "0s" }}
"""


def gathered(each: int) -> str:
    """Make a digest of each collection, due at so many events."""
    return _GATHERED.format(each)


def to_all(number: int) -> str:
    """Tell so many recipients of everything, at once."""
    return _TO_ALL.format(", ".join(f'"reader-{at:05d}@example.org"' for at in range(number)))


class Ours(Contestant):
    """One daemon."""

    name = "kinto-notify"
    title = "kinto-notify"

    def __init__(
        self, directory: Path, redis_url: str, smtp_port: int, subscriptions: str = EACH, **settings: str
    ) -> None:
        super().__init__(directory, redis_url, smtp_port)
        self.namespace = settings.get("namespace", wire.DEFAULT_NAMESPACE)
        self.log = directory / f"{self.namespace}-{settings.get('name', 'one')}.log"
        self._settings = settings
        self._table = directory / f"{self.namespace}.toml"
        self._table.write_text(subscriptions)
        self.client = redis.Redis.from_url(redis_url, socket_timeout=120)

    def command(self) -> Sequence[str]:
        return [str(Path(sys.executable).with_name("kinto-notify")), "run"]

    def environment(self) -> Mapping[str, str]:
        settings = {
            "name": "one",
            "redis_url": self.redis_url,
            "smtp_url": f"smtp://127.0.0.1:{self.smtp_port}",
            "sender": "Kinto <kinto@example.org>",
            "subscriptions": str(self._table),
            "web_bind": f"127.0.0.1:{self.port}",
            **self._settings,
        }
        return {f"KINTO_NOTIFY_{name.upper()}": value for name, value in settings.items()}

    def ready(self) -> bool:
        health = f"http://127.0.0.1:{self.port}/healthz"
        with contextlib.suppress(OSError), urllib.request.urlopen(health, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def key(self, name: str) -> str:
        return f"{{{self.namespace}}}:{name}"

    def give(self, events: Iterable[bytes]) -> None:
        key = wire.events_key(self.namespace)
        for batch in batches(events):
            pipe = self.client.pipeline(transaction=False)
            for event in batch:
                pipe.xadd(key, {wire.FIELD_VERSION: wire.VERSION, wire.FIELD_EVENT: event})
            pipe.execute()

    def settle(self) -> None:
        until(lambda: not any(self.client.zcard(self.key(name)) for name in _WORK))

    def stop(self, timeout: float = 30.0) -> None:
        super().stop(timeout)
        self.client.close()


class Pair(Contestant):
    """Two daemons that share the work of a namespace."""

    name = "pair"
    title = "kinto-notify, two daemons"

    def __init__(self, directory: Path, redis_url: str, smtp_port: int) -> None:
        super().__init__(directory, redis_url, smtp_port)
        self._both = [
            Ours(directory, redis_url, smtp_port, namespace="pair", name=name) for name in ("first", "second")
        ]

    def command(self) -> Sequence[str]:
        return self._both[0].command()

    def launch(self) -> None:
        for one in self._both:
            one.launch()

    def wait(self, timeout: float = 30.0) -> "Pair":
        for one in self._both:
            one.wait(timeout)
        return self

    def ready(self) -> bool:
        return all(one.ready() for one in self._both)

    def give(self, events: Iterable[bytes]) -> None:
        self._both[0].give(events)

    def settle(self) -> None:
        self._both[0].settle()

    def hold(self) -> None:
        for one in self._both:
            one.hold()

    def go(self) -> None:
        for one in self._both:
            one.go()

    def processor(self) -> float:
        return sum(one.processor() for one in self._both)

    def stop(self, timeout: float = 30.0) -> None:
        for one in self._both:
            one.stop(timeout)
