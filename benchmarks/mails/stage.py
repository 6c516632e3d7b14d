"""What all contestants share: one Redis with an append-only file, started as `make demo` starts it, and one sink."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from kinto_notify.demo.servers import RedisServer
from mails.sink import Sink


@dataclass(frozen=True, slots=True)
class Stage:
    """Where contestants find their servers, and a directory for what they write."""

    place: Path
    redis: RedisServer
    sink: Sink
    #: Ours, of the same Redis.
    client: Any


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Start the servers, with nothing in them; end them."""
    with contextlib.ExitStack() as ending:
        place = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mail-cost-")))
        (place / "redis").mkdir()
        server = ending.enter_context(RedisServer(place / "redis"))
        sink = Sink(place)
        ending.enter_context(sink)
        client = redis.Redis.from_url(server.url, socket_timeout=120)
        ending.callback(client.close)
        yield Stage(place, server, sink, client)
