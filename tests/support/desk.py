"""An operator's desk: the installed commands, with one set of servers and a namespace of its own."""

import subprocess
import uuid
from typing import Any

import redis

from kinto_notify import wire
from support.daemon import command
from support.events import publish


class Desk:
    """Runs commands with settings that suit a test: digests close at once, retries come within a second."""

    def __init__(self, redis_url: str, smtp_url: str, **variables: str) -> None:
        self.namespace = f"t-{uuid.uuid4().hex[:12]}"
        self.redis_url = redis_url
        self.variables = {
            "redis_url": redis_url,
            "smtp_url": smtp_url,
            "namespace": self.namespace,
            "sender": "Kinto <kinto@example.org>",
            "recipients": "reader@example.org",
            "name": "desk",
            "digest_wait": "0s",
            "digest_interval": "0s",
            "retry_min": "1s",
            "log_format": "json",
            **variables,
        }

    def __call__(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return self.run(*arguments, **more)

    def run(self, *arguments: str, stdin: str | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command, with a standard input of its own."""
        done = command(*arguments, stdin=stdin, **{**self.variables, **more})
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def publish(self, *events: dict[str, Any]) -> None:
        publish(self.redis_url, self.namespace, *events)

    def publish_raw(self, **fields: str) -> None:
        """Put an entry into the stream as anybody with access to Redis may."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.xadd(wire.events_key(self.namespace), {**fields})

    def keyspace(self) -> dict[bytes, tuple[bytes, bool]]:
        """Everything of this desk in Redis as it is stored (groups and pending lists too), and whether it has an end.

        What other desks left on the same server may come to its end at any time, and is not looked at.
        """
        with redis.Redis.from_url(self.redis_url) as client:
            return {key: (client.dump(key), client.pttl(key) > 0) for key in client.keys(f"{{{self.namespace}}}:*")}
