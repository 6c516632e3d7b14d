"""The house: opens what is needed, runs the rooms, drains, and closes in reverse order.

Lifecycle is nesting. A first SIGTERM or SIGINT asks for a drain (finish what is in hand, take nothing new), a second
one ends at once; SIGHUP reads subscriptions and templates anew. Redis and the smarthost may come and go at any time.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from kinto_notify import __version__
from kinto_notify.alarm import Alarm
from kinto_notify.catalogue import Catalogue, load_catalogue
from kinto_notify.compose.composer import Composer
from kinto_notify.courier import Courier
from kinto_notify.digester import BATCH, Digester
from kinto_notify.drain import DRAIN_MARGIN_S, Drain
from kinto_notify.errors import ConfigError, RelayFault, StoreUnavailable, TryLater
from kinto_notify.herald import Herald
from kinto_notify.housekeeping import Housekeeping
from kinto_notify.intake import Intake
from kinto_notify.ledger import Ledger
from kinto_notify.legacy_list import LegacyList
from kinto_notify.patience import IDLE_S, Pulse, patiently, wait_for, wait_for_any
from kinto_notify.settings import Settings
from kinto_notify.smtp.pool import Pool
from kinto_notify.stationery import composer_of
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.digests import Digests, Quotas
from kinto_notify.store.old_list import OldList
from kinto_notify.store.overview import examine
from kinto_notify.store.preferences import Preferences
from kinto_notify.store.remarks import Remarks
from kinto_notify.store.stream import Stream
from kinto_notify.systemd import ServiceManager
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.rates import Rates
from kinto_notify.web.site import site

#: A room that has not finished a step for so long is stuck: /healthz says so and the watchdog is not fed. Steps end
#: within seconds even when Redis hangs (its socket timeout is 15 s).
STALL_S = 45.0
#: `run --once` waits so long for the rate; a command that hangs for hours helps nobody.
_ONCE_RESTS_S = 60.0
#: ... and looks so often whether Redis was told of the last ones.
_TOLD_S = 0.005


class Daemon:
    """One daemon: `run` serves until it is asked to stop, `once` does what is due and returns."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._manager = ServiceManager()
        self._pulse = Pulse()
        self._stop = asyncio.Event()
        self._told = asyncio.Event()
        self._due = asyncio.Event()
        self._failed: BaseException | None = None
        self._catalogue: Catalogue = load_catalogue(settings)
        self._composer = self._compose()
        self._client = Client(settings.redis_url, settings.namespace)
        self._stream = Stream(self._client, settings.name)
        self._dead = DeadLetters(self._client)
        deliveries = Deliveries(self._client, settings.smtp_rate)
        self._pool = Pool(settings.smtp_relays, sessions=settings.smtp_sessions, ca=settings.smtp_ca)
        self._ledger = Ledger(deliveries, telemetry)
        self._courier = Courier(deliveries, self._pool, self._ledger, telemetry, policy=settings.retry)
        herald = Herald(self._client, self._pool, telemetry, settings)
        self._rates = Rates()
        self._intake = Intake(
            self._stream,
            Alone(self._client),
            lambda: self._catalogue,
            telemetry,
            keep_ms=settings.stream_keep,
            too_old_ms=settings.news_ms,
            # What is due later than the soonest is found by looking up each second.
            due=Alarm(self._due).within,
            switched_off=herald.switched_off,
            remarks=Remarks(self._client),
            preferences=Preferences(self._client),
        )
        self._old = LegacyList(OldList(self._client, settings.list), telemetry) if settings.list is not None else None
        self._housekeeping = Housekeeping(
            self._client, self._stream, telemetry, herald, busy=lambda: self._pool.busy, totals=self._rates.take
        )
        self._digester = Digester(
            Digests(self._client, Quotas(settings.recipient_rate, settings.bucket_rate), telemetry.over_quota),
            Alone(self._client),
            lambda: self._composer,
            telemetry,
            bounce_address=settings.bounce_address.address,
            ready=self._courier.woken.set,
            wanted=self._wanted_digests,
        )

    def _compose(self) -> Composer:
        return composer_of(self._settings, self._telemetry.template_fallback)

    def _wanted_digests(self) -> int:
        """Say how many digests to freeze: while no relay takes mail, one where a relay may be tried, else none.

        What is frozen gathers no more, so that an outage would leave a mail for every few minutes of it.
        """
        return min(self._pool.free, 1) if self._pool.fault else BATCH

    # Serving.

    async def run(self) -> int:
        """Serve until a signal; return the exit code (0 after a drain, 1 after a bug)."""
        self._greet()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            stack.push_async_callback(self._pool.close)
            await stack.enter_async_context(self._site())
            self._listen_to_signals()
            tasks = self._start_rooms()
            self._manager.ready("serving")
            self._telemetry.ready(len(self._catalogue.subscriptions))
            await self._stop.wait()
            clean = await self._end(tasks)
        self._telemetry.stopped(clean)
        if isinstance(self._failed, ConfigError):
            raise self._failed
        return 0 if self._failed is None else 1

    def _site(self) -> AbstractAsyncContextManager[object]:
        return site(
            self._settings,
            self._client,
            self._telemetry,
            self._rates,
            stalled=lambda: self._pulse.stalled(STALL_S),
            unready=self._unready,
            in_use=lambda: (self._catalogue, self._composer),
        )

    def _unready(self) -> list[str]:
        """Say why no mail could be sent now; a relay's words stay in the log."""
        rooms = (("stalled", self._pulse.stalled(STALL_S)), ("Redis does not serve", self._pulse.waiting))
        reasons = [f"{what}: {', '.join(names)}" for what, names in rooms if names]
        if self._pool.fault is not None:
            reasons.append("no smarthost can be used")
        return [*reasons, "draining"] if self._stop.is_set() else reasons

    def _start_rooms(self) -> dict[str, asyncio.Task[None]]:
        rooms: dict[str, Callable[[], Coroutine[None, None, object]]] = {
            "housekeeping": lambda: self._housekeeping.step(self._stop),
            "intake": self._intake.step,
            "digester": self._digest,
            "courier": lambda: self._courier.step(self._stop),
        }
        if (old := self._old) is not None:
            rooms["list"] = lambda: old.step(self._stop)
        tasks = {name: self._room(name, step, self._stop) for name, step in rooms.items()}
        tasks["ledger"] = self._room("ledger", self._ledger.work, self._told)
        tasks["watchdog"] = asyncio.create_task(self._feed_watchdog(), name="watchdog")
        return tasks

    def _room(
        self, name: str, step: Callable[[], Coroutine[None, None, object]], stop: asyncio.Event
    ) -> asyncio.Task[None]:
        async def live() -> None:
            try:
                await patiently(name, step, stop=stop, telemetry=self._telemetry, pulse=self._pulse)
            except Exception as fault:  # noqa: BLE001 - the house drains and ends; systemd starts a new one
                self._failed = fault
                self._pulse.rest(name)
                if not isinstance(fault, ConfigError):
                    self._telemetry.room_failed(name, fault)
                self._stop.set()

        return asyncio.create_task(live(), name=name)

    async def _digest(self) -> None:
        self._due.clear()
        # While the relay is down, changes gather in open digests: little memory, and one mail of a group afterwards.
        if await self._courier.blocked() or not await self._digester.work():
            await wait_for_any((self._due, self._stop), IDLE_S)

    async def _feed_watchdog(self) -> None:
        patience = self._manager.watchdog_s
        while patience is not None:
            if not self._pulse.stalled(max(STALL_S, patience)):
                self._manager.alive()
            await asyncio.sleep(patience / 3)

    async def _end(self, tasks: dict[str, asyncio.Task[None]]) -> bool:
        """Let the rooms end in order: those that take, then what is in hand, then what must be told to Redis."""
        self._manager.stopping(self._settings.drain_timeout / 1000 + DRAIN_MARGIN_S)
        drain = self._drain()
        await drain.rooms([task for name, task in tasks.items() if name not in ("ledger", "watchdog")])
        clean = await drain.finish(tasks["ledger"], self._told)
        tasks["watchdog"].cancel()
        await asyncio.gather(tasks["watchdog"], return_exceptions=True)
        return clean

    def _drain(self) -> Drain:
        return Drain(
            self._intake, self._courier, self._ledger, self._stream, timeout_s=self._settings.drain_timeout / 1000
        )

    # Signals.

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _asked_to_stop(self, number: int) -> None:
        if self._stop.is_set():
            # The second one: leases run out by themselves, nothing is lost.
            os._exit(1)
        self._telemetry.draining(signal.Signals(number).name)
        self._stop.set()

    def _reload(self) -> None:
        """Read subscriptions and templates anew; a bad file never replaces a good one."""
        self._manager.reloading()
        try:
            catalogue, composer = load_catalogue(self._settings), self._compose()
        except ConfigError as fault:
            self._telemetry.reload_refused(fault.problems)
        else:
            self._catalogue, self._composer = catalogue, composer
            self._telemetry.reloaded(len(catalogue.subscriptions))
        self._manager.ready("serving")

    def _greet(self) -> None:
        settings = self._settings
        self._telemetry.starting(
            __version__,
            name=settings.name,
            namespace=settings.namespace,
            smarthost=", ".join(f"{relay.host}:{relay.port}" for relay in settings.smtp_relays),
            sessions=settings.smtp_sessions,
        )
        for warning in (*settings.warnings, *self._catalogue.warnings):
            self._telemetry.warning(warning)

    # Once.

    async def once(self) -> int:
        """File what waits, compose and send what is due; raise `Unavailable` if Redis or the relay is not there.

        `TryLater` if the rate lets no mail go for more than a minute.

        A signal ends it as it ends `run`: what is in hand is finished.
        """
        self._greet()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            stack.push_async_callback(self._pool.close)
            self._listen_to_signals()
            found = await examine(self._client)
            if found.fatal:
                raise ConfigError([f"Redis: {text}" for text in found.fatal])
            # Other daemons may work beside it: leases are renewed, and what is sent is told at once.
            ledger = self._room("ledger", self._ledger.work, self._told)
            try:
                await self._do_what_is_due()
            finally:
                clean = await self._drain().finish(ledger, self._told)
        if self._ledger.untold:
            raise StoreUnavailable("Redis did not hear of all that was sent")
        self._telemetry.stopped(clean)
        return 0 if self._failed is None else 1

    async def _do_what_is_due(self) -> None:
        while self._old is not None and not self._stop.is_set() and await self._old.work():
            pass
        while not self._stop.is_set() and await self._intake.work(wait=False):
            pass
        while not self._stop.is_set() and await self._digester.work():
            pass
        await self._dead.sweep(await self._client.time())
        while not self._stop.is_set():
            # What ends while we ask may have left something that is due, and that Redis has not heard of.
            quiet = not self._courier.busy and not self._ledger.untold
            started = 0 if self._pool.fault is not None else await self._courier.start()
            if self._courier.busy:
                await self._courier.wait_for_one(self._stop)
            elif self._courier.rest_s > _ONCE_RESTS_S:
                raise TryLater(f"the rate lets no mail go for {self._courier.rest_s:.0f} s; what is due stays due")
            elif self._courier.rest_s:
                await wait_for(self._stop, self._courier.rest_s)
            elif quiet and not started:
                break
            elif not started:
                await wait_for(self._stop, _TOLD_S)
        if self._pool.fault is not None:
            raise RelayFault(self._telemetry.masked(self._pool.fault))
