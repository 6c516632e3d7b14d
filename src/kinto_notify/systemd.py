"""The service manager's socket (sd_notify(3)): ready, stopping, reloading, alive. Silent where there is none."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class ServiceManager:
    """Tells systemd how the daemon is; every method does nothing without `NOTIFY_SOCKET`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace's NUL.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_us = environ.get("WATCHDOG_USEC", "")
        pid = environ.get("WATCHDOG_PID", "")
        if pid and pid != str(os.getpid()):
            self._watchdog_us = ""

    @property
    def watchdog_s(self) -> float | None:
        """How long systemd waits for a sign of life before it kills us, in seconds; None if it doesn't."""
        return int(self._watchdog_us) / 1_000_000 if self._watchdog_us.isdigit() and self._address else None

    def ready(self, status: str) -> None:
        """Startup is done, or a reload."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within_s: float) -> None:
        """The drain has begun and ends within so many seconds, whatever the unit's TimeoutStopSec says."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within_s * 1_000_000)}\nSTATUS=draining")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A service manager that went away must not end the daemon.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link,
        ):
            link.connect(self._address)
            link.sendall(message.encode())
