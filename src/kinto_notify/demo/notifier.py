"""The daemon as a child process: the installed `kinto-notify run`, configured by environment variables as by systemd.

In: where Redis and the inbox are. Out: a `Server` that is ready when `/healthz` says so.
"""

import contextlib
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from kinto_notify.demo.servers import Server

RECIPIENT = "editors@example.org"


class Notifier(Server):
    """`kinto-notify run` with digests short enough to be watched."""

    name = "daemon"

    def __init__(self, directory: Path, redis_url: str, smtp_port: int) -> None:
        super().__init__(directory)
        self.redis_url = redis_url
        self.smtp_port = smtp_port

    @property
    def url(self) -> str:
        """The daemon's own pages, no slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return [str(Path(sys.executable).with_name("kinto-notify")), "run"]

    def environment(self) -> Mapping[str, str]:
        settings = {
            "NAME": "demo",
            "REDIS_URL": self.redis_url,
            "SMTP_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "SENDER": "Kinto <kinto@example.org>",
            "RECIPIENTS": RECIPIENT,
            "WEB_BIND": f"127.0.0.1:{self.port}",
            # In production 30 s and 5 min: nobody wants to wait so long in front of a terminal.
            "DIGEST_WAIT": "1s",
            "DIGEST_INTERVAL": "2s",
            # The inbox answers at once; what is not delivered after this is a fault to be seen.
            "DRAIN_TIMEOUT": "5s",
        }
        return {f"KINTO_NOTIFY_{name}": value for name, value in settings.items()}

    def ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:  # noqa: S310 - http to loopback
            return bool(answer.status == 200)
        return False
