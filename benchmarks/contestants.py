"""Who takes part, and the servers that they need.

In: a directory for the servers' files. Out: contestants, each with the settings of its Kinto and a way to wait until
what it promised has happened. All servers are private, on free loopback ports, and end with us.
"""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from kinto_notify.wire import events_key
from support.proxy import Proxy
from support.smtp_server import SmtpServerThread
from tools.write_cost import settled

#: A mail server in the next town, and a Redis in the next country.
MAIL_AWAY_S, REDIS_AWAY_S = 0.020, 0.100
#: A namespace for each of ours, so that each can count its own.
NAMESPACE, FAR_NAMESPACE, HOOKED_NAMESPACE, UNHOOKED_NAMESPACE = "kinto-notify", "far", "hooked", "unhooked"
#: What a data owner writes into a collection to hear of its records.
HOOK = {"kinto-notify": {"hooks": [{"resource_name": "record", "recipients": ["anna@example.org"]}]}}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One Kinto: its settings, un-prefixed; the collection's metadata; how to wait until `n` writes have had effect."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    settle: Callable[[int], None] = lambda _written: None
    #: Two tell nobody, and what differs between them is noise; ours is held to its promise; of a slow one fewer writes
    #: tell as much.
    bare: bool = False
    promised: bool = False
    slow: bool = False


def _ours(
    name: str, url: str, spool: Path, settle: Callable[[int], None], namespace: str = NAMESPACE, **more: str
) -> Contestant:
    own = {"use": "kinto_notify.listener", "url": url, "spool": str(spool), "namespace": namespace, **more}
    settings = {"event_listeners": "notify", **{f"event_listeners.notify.{key}": own[key] for key in own}}
    # What hooks cost is told; the promise was never made of them.
    return Contestant(name, settings, settle=settle, promised="hooks" not in more)


def _kinto_redis(url: str, settle: Callable[[int], None]) -> Contestant:
    own = {"use": "kinto_redis.listeners", "url": url, "listname": "queue"}
    settings = {"event_listeners": "redis", **{f"event_listeners.redis.{key}": own[key] for key in own}}
    return Contestant("kinto-redis", settings, settle=settle)


def _kinto_emailer(port: int, settle: Callable[[int], None]) -> Contestant:
    settings = {"includes": "kinto_emailer", "mail.host": "127.0.0.1", "mail.port": str(port)}
    settings |= {"mail.default_sender": "kinto@example.org"}
    hook = {"template": "{record_id} was written", "subject": "A change", "recipients": ["anna@example.org"]}
    metadata = {"kinto-emailer": {"hooks": [{**hook, "resource_name": "record"}]}}
    name = f"kinto-emailer, mail server {MAIL_AWAY_S * 1000:.0f} ms away"
    return Contestant(name, settings, metadata, settle, slow=True)


def _reached(count: Callable[[], int], what: str, limit: float = 60.0) -> Callable[[int], None]:
    """Return a wait until `count()` is as large as what was written."""

    def settle(written: int) -> None:
        deadline = time.monotonic() + limit
        while count() < written:
            assert time.monotonic() < deadline, f"{what}: {count()} of {written}"
            time.sleep(0.01)

    return settle


@contextlib.contextmanager
def contestants(place: Path) -> Iterator[list[Contestant]]:
    """Start the servers and give the contestants; end the servers."""
    with contextlib.ExitStack() as ending:
        for name in ("redis", "hung"):
            (place / name).mkdir()
        server = ending.enter_context(RedisServer(place / "redis"))
        hung = ending.enter_context(RedisServer(place / "hung"))
        # It accepts connections and never answers.
        hung.signal(signal.SIGSTOP)
        far = ending.enter_context(Proxy(server.port))
        far.delay = REDIS_AWAY_S
        smtp = ending.enter_context(SmtpServerThread())
        mail = ending.enter_context(Proxy(smtp.server.port))
        mail.delay = MAIL_AWAY_S
        client = redis.Redis.from_url(server.url, socket_timeout=30)
        ending.callback(client.close)
        far_url = f"redis://127.0.0.1:{far.port}/0"

        def entries(namespace: str) -> Callable[[int], None]:
            return _reached(lambda: client.xlen(events_key(namespace)), "entries")

        yield [
            Contestant("Kinto alone", bare=True),
            Contestant("Kinto alone, once more", bare=True),
            _ours("kinto-notify", server.url, place / "spool", lambda n: settled(client, n)),
            _ours("kinto-notify, Redis hung", hung.url, place / "hung-spool", lambda _n: None),
            _ours(
                f"kinto-notify, Redis {REDIS_AWAY_S * 1000:.0f} ms away", far_url, place / "far-spool",
                entries(FAR_NAMESPACE), FAR_NAMESPACE,
            ),
            _ours(
                "kinto-notify, hooks on, none there", server.url, place / "unhooked-spool",
                entries(UNHOOKED_NAMESPACE), UNHOOKED_NAMESPACE, hooks="true",
            ),
            replace(
                _ours(
                    "kinto-notify, one hook", server.url, place / "hooked-spool",
                    entries(HOOKED_NAMESPACE), HOOKED_NAMESPACE, hooks="true",
                ),
                metadata=HOOK,
            ),
            _kinto_redis(server.url, _reached(lambda: client.llen("queue"), "payloads")),
            _kinto_emailer(mail.port, _reached(lambda: len(smtp.mails), "mails")),
        ]  # fmt: skip


def as_json(contestant: Contestant, storage: Mapping[str, str]) -> str:
    """Return what the process of a contestant is told."""
    return json.dumps({"settings": {**storage, **contestant.settings}, "metadata": contestant.metadata})
