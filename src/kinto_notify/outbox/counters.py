"""The outbox's numbers in Kinto's own metrics, where it has any (Prometheus or StatsD in Kinto, StatsD in Cliquet).

In: names and numbers. Out: nothing. Never fails: a metrics fault must not reach a request.
"""

import contextlib
from typing import Any

_PREFIX = "kinto_notify."


class Counters:
    """Counts and observes on whatever the application's registry offers."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    @property
    def _service(self) -> Any:
        # Looked up late: Kinto sets metrics up after the listeners.
        return getattr(self._registry, "metrics", None) or getattr(self._registry, "statsd", None)

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""
        with contextlib.suppress(Exception):
            service = self._service
            if service is not None:
                service.count(_PREFIX + name, number)

    def observe(self, name: str, value: float) -> None:
        """Tell a value that goes up and down."""
        with contextlib.suppress(Exception):
            service = self._service
            if service is not None and hasattr(service, "observe"):
                service.observe(_PREFIX + name, value)
