"""The event listener for Kinto and Cliquet: captures committed changes for the Redis stream.

In: Kinto's configuration, then its `ResourceChanged` events. Out: entries in the outbox, bound to the transaction.
`load_from_config` raises `ConfigurationError` for a wrong setting, which stops Kinto and names it; the listener itself
never raises, but for `HTTPServiceUnavailable` in strict mode.
"""

import importlib
import logging
import sys
from collections.abc import Mapping
from typing import Any

from pyramid.events import NewRequest
from pyramid.exceptions import ConfigurationError
from pyramid.httpexceptions import HTTPServiceUnavailable

from kinto_notify import wire
from kinto_notify.errors import ConfigError
from kinto_notify.outbox import metadata
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.capture import Captured, capture, impacted_of
from kinto_notify.outbox.choice import choose
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.hooks import HookFinder
from kinto_notify.outbox.joined import Joined, Terms, TwoPhaseOutbox, written
from kinto_notify.outbox.naming import Naming
from kinto_notify.outbox.process import WRITTEN
from kinto_notify.outbox.request import origin_of, own_of, partly_rolled_back, remember_begin, root_of, transaction_of
from kinto_notify.outbox.settings import OutboxSettings, read_settings
from kinto_notify.outbox.split import entries
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.storage import StorageView, database_client
from kinto_notify.outbox.stream import Stream
from kinto_notify.outbox.threads import threads_run
from kinto_notify.relay import Relay

logger = logging.getLogger(__name__)


def load_from_config(config: Any, prefix: str = "") -> "Listener":
    """Make the listener that `event_listeners.<name>.use = kinto_notify.listener` asks for."""
    return _made(config, prefix)


def include(config: Any) -> None:
    """Switch on by `kinto.includes = kinto_notify`; settings under `notify.`."""
    listener = _made(config, "notify.")
    for changed in _changed_events():
        config.add_subscriber(listener, changed)


def _made(config: Any, prefix: str) -> "Listener":
    try:
        settings = read_settings(config.get_settings(), prefix)
        if any(settings.mixes_with(other.settings) for other in config.registry.__dict__.get("kinto_notify", [])):
            raise ConfigError(
                f"{prefix}namespace: another listener has the same one with another url; give each its own"
            )
        if settings.hooks:
            metadata.switch_on(config, f"{prefix}hooks")
        listener = Listener(settings, config.registry, prefix)
        for name in settings.events:
            config.add_subscriber(listener, _event_class(prefix, name))
    except ConfigError as error:
        # Kinto swallows an ImportError or AttributeError from here and tries again under another name.
        raise ConfigurationError(f"kinto-notify: {'; '.join(error.problems)}") from None
    if config.get_settings().get("tm.manager_hook"):
        logger.warning("kinto-notify: tm.manager_hook is set; Kinto's own storage ignores such a manager")
    if not (settings.external_relay or threads_run()):
        logger.warning(
            "kinto-notify: uWSGI runs without enable-threads: changes reach Redis late, or when it ends; set"
            " enable-threads = true, or %srelay = external",
            prefix,
        )
    if hasattr(config, "add_migration") and database_client(config.registry) is not None:
        importlib.import_module("kinto_notify.outbox.migration").register(config)
    config.add_subscriber(listener.on_request, NewRequest)
    config.registry.__dict__.setdefault("kinto_notify", []).append(listener)
    return listener


def _changed_events() -> list[Any]:
    """Return the `ResourceChanged` of the project that is running: the one whose module is loaded (in tests, both)."""
    modules = (sys.modules.get(name) for name in ("kinto.core.events", "cliquet.events"))
    return [module.ResourceChanged for module in modules if module is not None]


def _event_class(prefix: str, name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise ConfigError(f"{prefix}events: there is no {name}") from None


class Listener:
    """Called by Kinto with each event, inside the transaction."""

    def __init__(self, settings: OutboxSettings, registry: Any, prefix: str = "") -> None:
        #: As read.
        self.settings = settings
        self._counters = Counters(registry)
        self._storage = StorageView(registry)
        directory = SpoolDirectory(settings.spool, settings.namespace, durable=settings.durable)
        external = settings.external_relay
        self._spool = SpoolOutbox(directory, self._counters, durable=settings.durable, external=external)
        self._table = choose(settings, prefix, registry, self._spool, self._counters)
        outbox: TwoPhaseOutbox[Any] = self._table or self._spool
        self._strict = settings.strict
        self._terms = Terms(outbox, self._storage, settings.strict, entries if self._table else written)
        #: Under this name a request keeps our part in its transaction.
        self._joined = sys.intern(f"kinto_notify_joined_{id(self)}")
        self._relay = Relay(
            self._spool,
            (lambda: Stream(settings.url, settings.namespace, settings.retention)) if not external else None,
            Adoption(directory, self._storage) if not external else None,
            self._counters,
            settings.retention,
            self._table,
        )
        #: An event that we have taken bears it.
        self._mark = f"_kinto_notify_{hash((settings.namespace, settings.url)):x}"
        self._finder = HookFinder(self._storage.read, self._storage.collections, registry.settings, self._left_out)
        self._naming = Naming().of
        self._hooks = self._find_hooks if settings.hooks else None

    def on_request(self, event: Any) -> None:
        """Start the relay with the first request of this process; remember the transaction a request began with."""
        try:
            self._relay.ensure_running()
            remember_begin(event.request)
        except Exception:
            # No thread can be had, say: the spool keeps what is written, for the next request's or another's relay.
            self._counters.count("relay_faults")
            logger.exception("kinto-notify could not begin with a request")

    def close(self) -> None:
        """Publish what waits, for two seconds at most, and end the relay thread. The end of the process does this."""
        self._relay.stop()

    def __call__(self, event: Any) -> None:
        """Capture one event. Never raises, unless it is strict: a fault of ours is not the writer's."""
        try:
            if not self._taken_before(event):
                self._capture(event)
        except Exception:
            self._counters.count("capture_faults")
            logger.critical("kinto-notify could not capture %r: it will not be notified", event, exc_info=True)
            if self._strict:
                raise HTTPServiceUnavailable from None

    def _taken_before(self, event: Any) -> bool:
        """With `includes` and `event_listeners` both, or the listener named twice, one event comes here twice."""
        # Not by its attributes: an event of somebody else's may refuse them, or answer for all.
        own = getattr(event, "__dict__", None)
        if type(own) is not dict:
            # Nowhere to leave a mark: twice is better than never.
            return False
        # A copy has the mark, too.
        if own.get(self._mark) == id(event):
            return True
        own[self._mark] = id(event)
        return False

    # The writer waits for all that follows: a call more is felt, where the processor has none of it at hand.

    def _capture(self, event: Any) -> None:
        request = root_of(getattr(event, "request", None))
        event_id = wire.new_id()
        captured = capture(event, origin_of(request, event_id), self.settings, event_id, self._naming, self._hooks)
        if captured is None:
            return
        if captured.payload.get("action") == "delete":
            captured = captured._replace(children=self._children(event))
        manager, transaction = transaction_of(request)
        if transaction is None:
            self._without_transaction(captured)
            return
        # Not in the transaction's own data: asking for what is not there yet raises twice, in each write.
        own = own_of(request)
        joined = own.get(self._joined)
        if joined is None or not joined.takes_part_in(transaction):
            own[self._joined] = joined = self._join(transaction, manager, own)
        joined.add(captured)

    def _join(self, transaction: Any, manager: Any, own: Mapping[str, Any]) -> Joined:
        asks = partly_rolled_back(own, transaction)
        joined = Joined(self._terms, manager, transaction, asks=asks)
        transaction.join(joined)
        if asks:
            transaction.addBeforeCommitHook(joined.drop_rolled_back)
        if self._table is not None:
            transaction.addBeforeCommitHook(joined.write_early)
        return joined

    def _without_transaction(self, captured: Captured) -> None:
        """What is written outside any transaction is committed already."""
        receipt = self._spool.prepare(written(captured), "", final=True)
        if receipt is not WRITTEN:
            self._spool.commit(receipt)

    def _children(self, event: Any) -> dict[str, int]:
        payload = event.payload
        if payload.get("resource_name") not in ("bucket", "collection"):
            return {}
        uris = []
        for item in impacted_of(event):
            object_id = (item.get("old") or item.get("new") or {}).get("id", "")
            if payload["resource_name"] == "bucket":
                uris.append(f"/buckets/{object_id}")
            else:
                uris.append(f"/buckets/{payload.get('bucket_id')}/collections/{object_id}")
        try:
            return self._storage.children(payload["resource_name"], uris)
        except Exception:
            logger.exception("kinto-notify could not count what goes with %r; it is notified without", event)
            return {}

    def _find_hooks(self, event: Any) -> Mapping[str, Any]:
        try:
            return self._finder.find(event)
        except Exception:
            self._counters.count("hook_faults")
            logger.exception("kinto-notify could not look for the hooks of %r; it is notified without", event)
            return {}

    def _left_out(self, hook: str) -> None:
        self._counters.count("hook_faults")
        logger.error("kinto-notify: the hooks of an event are too large; %s is left out", hook)
