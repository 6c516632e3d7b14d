"""The closed vocabulary: one method = one log line + its metric. Nobody else in the daemon logs or counts.

No secret, no record's content, no bucket or user id in a label. Addresses are hashed, except at level DEBUG.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import FilteringBoundLogger

from kinto_notify.delivery import Deferred, Delivery, Outcome, Refused, Sent
from kinto_notify.digest import FrozenDigest
from kinto_notify.masking import hashed, without_addresses
from kinto_notify.metrics import Metrics
from kinto_notify.pressure import Admission, Load

LogFormat = Literal["console", "json"]


def configure_logging(form: LogFormat, level: str) -> None:
    """Set up log lines on standard output: for people on a terminal, or one JSON object a line."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=22)
        if form == "console"
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    stamper = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamper, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )


class Telemetry(Metrics):
    """The daemon's voice."""

    def __init__(self, level: str = "INFO") -> None:
        super().__init__()
        # Bound once: what is not, is bound anew for each line.
        self._log: FilteringBoundLogger = structlog.get_logger().bind()
        self._open_addresses = level == "DEBUG"
        self._down: dict[str, str] = {}
        self._told_newer = False
        self._learned: float | None = None
        self._admission = Admission.OPEN

    # The daemon's life.

    def starting(self, version: str, **facts: str | int) -> None:
        """Say what is about to run, with the settings that matter (no secrets among them)."""
        self._log.info("starting", version=version, **facts)

    def warning(self, text: str) -> None:
        """Pass on a warning about the configuration or the servers."""
        self._log.warning("configuration", warning=text)

    def ready(self, subscriptions: int) -> None:
        """All rooms run."""
        self._log.info("ready", subscriptions=subscriptions)

    def draining(self, cause: str) -> None:
        """A stop was asked for: finish what is in hand, take nothing new."""
        self._log.info("draining", cause=cause)

    def stopped(self, clean: bool) -> None:
        """The last line of a life."""
        self._log.info("stopped", drained=clean)

    def reloaded(self, subscriptions: int) -> None:
        """Subscriptions and templates were read anew."""
        self._log.info("reloaded", subscriptions=subscriptions)

    def reload_refused(self, problems: tuple[str, ...]) -> None:
        """A bad file never replaces a good one."""
        self._log.error("reload refused, the old configuration stays", problems=list(problems))

    def room_failed(self, room: str, fault: BaseException) -> None:
        """A bug: the daemon stops and is restarted."""
        self._log.error("room failed", room=room, exc_info=fault)

    # Redis, as each room sees it.

    def store_lost(self, room: str, reason: str) -> None:
        """Redis does not answer a room. Said once, and again when the reason changes."""
        if self._down.get(room) != reason:
            self._log.warning("redis unavailable", room=room, reason=reason)
        self._down[room] = reason
        self._store_up.labels(room).set(0)

    def store_back(self, room: str) -> None:
        """Redis answers a room (again)."""
        if self._down.pop(room, None) is not None:
            self._log.info("redis is back", room=room)
            self._store_up.labels(room).set(1)

    # Intake.

    def filed(self, filed: int, known: int, buried: int) -> None:
        """A batch of entries was filed."""
        self._events.labels("filed").inc(filed)
        self._events.labels("known").inc(known)
        self._events.labels("buried").inc(buried)
        self._log.debug("filed", events=filed, known=known, buried=buried)

    def poison(self, entry: str, reason: str) -> None:
        """An entry became a dead letter."""
        self._log.error("entry buried", entry=entry, reason=reason)

    def remark(self, subscription: str, kind: str, detail: str) -> None:
        """A subscription or hook is wrong in some way, or asked for what it may not have."""
        self._remarks.labels(kind).inc()
        self._log.warning("subscription", subscription=subscription, kind=kind, detail=self.masked(detail))

    def moved(self, taken: int, buried: int) -> None:
        """Entries of the old list went to the stream, or to the dead letters."""
        self._events.labels("moved").inc(taken - buried)
        self._events.labels("buried").inc(buried)
        if buried:
            self._log.error("entries of the list buried", number=buried)

    def entries_lost(self, entries: list[str]) -> None:
        """Entries were trimmed from the stream before we read them (not by us)."""
        self._events.labels("lost").inc(len(entries))
        told = {"number": len(entries), "entries": entries[:20]}
        self._log.error("entries lost from the stream", **told, hint="kinto-notify replay")

    def entries_stranded(self, number: int) -> None:
        """Entries were filed that were pending with nobody: somebody had deleted their consumer."""
        self._stranded.inc(number)
        self._log.warning("stranded entries filed", number=number)

    # Digests.

    def composed(self, digest: FrozenDigest, recipients: int) -> None:
        """A digest became deliveries."""
        self._digests.labels("composed" if digest.changes else "empty").inc()
        self._log.info(
            "digest", digest=digest.id, subscription=digest.key.identity, changes=digest.changes, recipients=recipients
        )

    def over_quota(self, subscription: str, number: int, in_this_hour: int) -> None:
        """A hook made so many mails beyond the quotas, in one go. Said once an hour, over all daemons."""
        self._over_quota.inc(number)
        if number == in_this_hour:
            self._log.warning("over quota", subscription=subscription, number=number)

    def digest_buried(self, digest: str, subscription: str, reason: str) -> None:
        """A digest became a dead letter."""
        self._digests.labels("buried").inc()
        self._log.error("digest buried", digest=digest, subscription=subscription, reason=reason)

    def newer_forms(self, number: int) -> None:
        """Digests are stored in a form of a newer version: they wait for a daemon of that version. Said once."""
        if not self._told_newer:
            self._told_newer = True
            self._log.warning("digests of a newer version wait for it", number=number)

    def template_fallback(self, template: str, reason: str) -> None:
        """A template failed at a digest; the built-in one took its place."""
        self._log.warning("template failed, the built-in one was used", template=template, reason=reason)

    # Deliveries.

    def attempt(self, delivery: Delivery, outcome: Outcome, age_ms: int) -> None:
        """One line for each attempt."""
        reply = self.masked(str(outcome.reply))
        told = {"delivery": delivery.id, "to": self.address(delivery.recipient), "reply": reply}
        match outcome:
            case Sent():
                self._deliveries.labels("sent").inc()
                self._delivery_seconds.observe(age_ms / 1000)
                if delivery.oldest:
                    self._end_to_end.observe((age_ms + delivery.first - delivery.oldest) / 1000)
                self._log.info("sent", **told)
            case Deferred():
                self._deliveries.labels("deferred").inc()
                if outcome.ambiguous:
                    self._ambiguous.inc()
                self._log.warning("deferred", **told, ambiguous=outcome.ambiguous, attempts=delivery.attempts + 1)
            case Refused():
                self._deliveries.labels("refused").inc()
                self._log.error("refused", **told)

    def attempt_failed(self, delivery: Delivery, fault: Exception) -> None:
        """A bug: this attempt counts as deferred."""
        self._deliveries.labels("deferred").inc()
        self._log.error("attempt failed", delivery=delivery.id, exc_info=fault)

    def summarised(self, delivery: Delivery, reply: str) -> None:
        """A mail is too big for the relay; its summary goes instead."""
        self._deliveries.labels("deferred").inc()
        told = self.address(delivery.recipient)
        self._log.warning("summarised", delivery=delivery.id, to=told, reply=self.masked(reply))

    def withheld(self, delivery: Delivery, reason: str) -> None:
        """The last look let a delivery not go out: a dead letter."""
        self._deliveries.labels("withheld").inc()
        to = self.address(delivery.recipient)
        self._log.error("withheld", delivery=delivery.id, to=to, reason=self.masked(reason))

    def unwanted(self, delivery: Delivery, reason: str) -> None:
        """Its recipient wants no such mail now: it is thrown away."""
        self._deliveries.labels("unwanted").inc()
        self._log.info("unwanted", delivery=delivery.id, to=self.address(delivery.recipient), reason=reason)

    def ruled(self, act: str, recipient: str, subscription: str) -> None:
        """A recipient did something about a subscription; `recipient` is the fingerprint of an address."""
        self._inbox_acts.labels(act).inc()
        self._log.info("inbox ruled", act=act, to=f"sha256:{recipient[:12]}", subscription=subscription)

    def acted(self, act: str, what: str, number: int) -> None:
        """Somebody who has `ADMIN_TOKEN`, or has not (`refused`), acted by the web."""
        self._log.info("operator acted", act=act, what=what, number=number)

    def gave_up(self, delivery: Delivery, age_ms: int) -> None:
        """A delivery became too old and is buried."""
        self._log.error("gave up", delivery=delivery.id, to=self.address(delivery.recipient), age_s=age_ms // 1000)

    def returned(self, delivery: Delivery, reason: str) -> None:
        """A delivery went back untried: the relay was at fault, not the delivery."""
        self._deliveries.labels("returned").inc()
        self._log.debug("returned", delivery=delivery.id, reason=self.masked(reason))

    def relay_down(self, reason: str) -> None:
        """The circuit to the smarthost is open."""
        if self._down.get("relay") != reason:
            self._log.error("smarthost unavailable", reason=self.masked(reason))
        self._down["relay"] = reason
        self._relay_up.set(0)

    def relay_back(self) -> None:
        """The smarthost took a mail (again)."""
        if self._down.pop("relay", None) is not None:
            self._log.info("smarthost is back")
            self._relay_up.set(1)

    def learned_rate(self, rate: float | None) -> None:
        """How many mails a second a throttling relay lets all daemons have together; None: it does not throttle."""
        if rate is not None and (self._learned is None or rate < self._learned):
            self._log.warning("rate lowered", mails_per_second=round(rate, 2))
        self._learned = rate
        self._learned_rate.set(rate or 0)

    def lease_lost(self, deliveries: list[str]) -> None:
        """Deliveries were no longer ours while we worked on them: what was not handed over yet is not sent."""
        self._log.warning("lease lost", deliveries=deliveries[:20])

    # Pauses.

    def paused(self, subscription: str) -> None:
        """A subscription (`*`: all) was found paused: its digests gather."""
        self._log.info("paused", subscription=subscription)

    def resumed(self, subscription: str) -> None:
        """It is not paused any more."""
        self._log.info("resumed", subscription=subscription)

    # The operator.

    def circuits(self, opened: int) -> None:
        """So many relays of this daemon can't be used now."""
        self._circuits_open.set(opened)

    def noticed(self, dead_letters: int, outages: int, hooks: int) -> None:
        """A mail to the operator was made."""
        self._log.info("operator told", dead_letters=dead_letters, outages=outages, hooks=hooks)

    # Gauges that housekeeping refreshes.

    def waiting(self, numbers: dict[str, int], sessions: int) -> None:
        """Refresh what waits in Redis and how many sessions are busy."""
        for kind, number in numbers.items():
            self._waiting.labels(kind).set(number)
        self._sessions.set(sessions)

    def pressure(self, load: Load, admission: Admission) -> None:
        """How full Redis is, and so what the relays do: said when they slow down, stop, and are free again."""
        self._pressure.labels("memory").set(load.memory)
        self._pressure.labels("backlog").set(load.backlog)
        before, self._admission = self._admission, admission
        if before is not admission is Admission.OPEN:
            self._log.info("redis has room again", load=str(load))
        elif before is not admission:
            self._log.warning("redis is nearly full", relays=admission.value, load=str(load))

    def dry(self, subject: str, recipients: list[str], size: int) -> None:
        """`DRY_RUN`: what would have been sent."""
        self._log.info("would send", subject_length=len(subject), size=size, to=[*map(self.address, recipients)])

    def address(self, address: str) -> str:
        """Write an address the way logs may show it."""
        return address if self._open_addresses else hashed(address)

    def masked(self, reply: str) -> str:
        """Write what a server said the way logs may show it."""
        return reply if self._open_addresses else without_addresses(reply)
