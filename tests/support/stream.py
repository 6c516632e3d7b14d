"""What reached the Redis stream, read the way any consumer may."""

import json
import time
from collections.abc import Callable
from typing import Any

import redis

from kinto_notify import wire


def eventually(done: Callable[[], Any], limit: float = 30.0) -> Any:
    """Poll until `done()` is true and return it; fail after a generous limit that no healthy run comes near."""
    deadline = time.monotonic() + limit
    while True:
        value = done()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class StreamReader:
    """Reads the whole stream of a namespace each time."""

    def __init__(self, url: str, namespace: str = wire.DEFAULT_NAMESPACE) -> None:
        self.client = redis.Redis.from_url(url, socket_timeout=10)
        self.namespace = namespace
        self.key = wire.events_key(namespace)

    def events(self) -> list[dict[str, Any]]:
        entries = self.client.xrange(self.key)
        assert all(set(fields) == {b"v", b"event"} and fields[b"v"] == b"1" for _, fields in entries)
        return [json.loads(fields[b"event"]) for _, fields in entries]

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """Every change in the stream with its event's action, in order."""
        return [(e["data"]["action"], c) for e in self.events() for c in e["data"]["changes"]]

    def wait(self, number: int) -> list[dict[str, Any]]:
        """Wait until the stream holds `number` events, and return them all."""
        eventually(lambda: self.client.xlen(self.key) >= number)
        return self.events()

    def close(self) -> None:
        self.client.close()
