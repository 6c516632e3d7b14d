"""The metrics: what is counted and measured, under which names. Their values are set by the vocabulary in `telemetry`.

Out: Prometheus' text format. No label holds an address, a bucket, a user id or a host.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_ROOMS = ("intake", "digester", "courier")


class Metrics:
    """One daemon's metrics, in their own registry, so that two daemons in a process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(
            "kinto_notify_events", "Stream entries by what became of them", ["result"], registry=self.registry
        )
        self._stranded = Counter(
            "kinto_notify_stranded", "Filed entries that were pending with nobody", registry=self.registry
        )
        self._remarks = Counter(
            "kinto_notify_subscription_remarks",
            "What subscriptions and hooks were wrong in, each thing once",
            ["kind"],
            registry=self.registry,
        )
        self._digests = Counter(
            "kinto_notify_digests", "Digests by what became of them", ["result"], registry=self.registry
        )
        self._over_quota = Counter(
            "kinto_notify_over_quota", "Mails of hooks beyond the quotas, not sent", registry=self.registry
        )
        self._deliveries = Counter(
            "kinto_notify_deliveries", "Attempts at a delivery by outcome", ["outcome"], registry=self.registry
        )
        self._inbox_acts = Counter("kinto_notify_inbox_acts", "What recipients did", ["kind"], registry=self.registry)
        self._ambiguous = Counter(
            "kinto_notify_ambiguous", "Final dots that got no reply (RFC 1047)", registry=self.registry
        )
        self._delivery_seconds = Histogram(
            "kinto_notify_delivery_seconds",
            "From the digest's fan-out to the smarthost's yes",
            buckets=(0.05, 0.2, 1, 5, 30, 120, 600, 3600, 21600, 86400),
            registry=self.registry,
        )
        self._end_to_end = Histogram(
            "kinto_notify_end_to_end_seconds",
            "From the capture of the oldest change in a mail to the smarthost's yes",
            buckets=(0.5, 1, 5, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400, 259200),
            registry=self.registry,
        )
        self._gauges()
        self._begin()

    def _gauges(self) -> None:
        self._store_up = Gauge("kinto_notify_store_up", "1 while Redis answers it", ["room"], registry=self.registry)
        self._relay_up = Gauge(
            "kinto_notify_relay_up", "0 while the circuit to the smarthost is open", registry=self.registry
        )
        self._circuits_open = Gauge(
            "kinto_notify_circuits_open",
            "Relays of this daemon that failed and rest",
            registry=self.registry,
        )
        self._waiting = Gauge("kinto_notify_waiting", "What waits in Redis, by kind", ["kind"], registry=self.registry)
        self._pressure = Gauge(
            "kinto_notify_pressure", "How full Redis is, 1 being full", ["kind"], registry=self.registry
        )
        self._sessions = Gauge("kinto_notify_sessions_busy", "SMTP sessions at work now", registry=self.registry)
        self._learned_rate = Gauge("kinto_notify_learned_rate", "Mails a second if throttled", registry=self.registry)

    def _begin(self) -> None:
        """Show every series from the start: an alert on a rate must not miss the first one."""
        self._relay_up.set(1)
        for room in _ROOMS:
            self._store_up.labels(room).set(1)
        for kind in ("memory", "backlog"):
            self._pressure.labels(kind)
        for result in ("filed", "known", "buried", "lost", "moved"):
            self._events.labels(result)
        for result in ("composed", "empty", "buried"):
            self._digests.labels(result)
        for act in ("one-click", "unsubscribe", "resubscribe", "daily", "mute-day", "mute-week"):
            self._inbox_acts.labels(act)
        for outcome in ("sent", "deferred", "refused", "returned", "withheld", "unwanted"):
            self._deliveries.labels(outcome)

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
