"""Herald: what went wrong → at most one mail an hour to the operator, over all daemons.

In: the pool's circuits, dead letters, hooks that were switched off. Out: the circuits in Redis, for every daemon and
for `status`; a delivery like any other, made only while a relay can be used, so that what it says is still true when it
goes out. A dead letter of a notice is not told of by the next one. Redis away is `StoreUnavailable`.
"""

import time

from kinto_notify.compose.notice import NoticeComposer
from kinto_notify.notice import Outage, decide
from kinto_notify.settings import Settings
from kinto_notify.smtp.pool import Pool
from kinto_notify.store.circuits import Circuits
from kinto_notify.store.client import Client
from kinto_notify.store.notices import NoticeMail, Notices
from kinto_notify.telemetry import Telemetry

#: Hooks switched off that were not told yet; more of them than that are an attack.
_MOST_HOOKS = 1_000


class Herald:
    """The room that tells the operator; silent where `OPERATOR` is not set."""

    def __init__(self, client: Client, pool: Pool, telemetry: Telemetry, settings: Settings) -> None:
        self._client = client
        self._pool = pool
        self._telemetry = telemetry
        self._settings = settings
        self._circuits = Circuits(client)
        self._notices = Notices(client)
        operator = settings.operator
        self._composer = NoticeComposer(settings.sender, operator, settings.timezone) if operator is not None else None
        self._switched_off: set[str] = set()

    def switched_off(self, identity: str) -> None:
        """Take note of a hook that is not asked any more."""
        if len(self._switched_off) < _MOST_HOOKS:
            self._switched_off.add(identity)

    async def work(self) -> None:
        """Report our circuits, and make the notice that is due, if one is."""
        now = await self._client.time()
        outages = self._outages(now)
        self._telemetry.circuits(len(outages))
        await self._circuits.report(self._settings.name, outages, now)
        if self._composer is not None and self._pool.fault is None:
            await self._tell(self._composer, now)

    def _outages(self, now: int) -> list[Outage]:
        clock = time.monotonic()
        return [
            Outage(self._settings.name, relay, now - int((clock - since) * 1000), self._telemetry.masked(fault))
            for relay, since, fault in self._pool.open_circuits()
        ]

    async def _tell(self, composer: NoticeComposer, now: int) -> None:
        found = await self._notices.look(now)
        notice = decide(found, self._switched_off, now)
        operator = self._settings.operator
        if notice is None or operator is None:
            return
        headers, body = composer.compose(notice)
        bounces = self._settings.bounce_address.address
        mail = NoticeMail(composer.ident(notice), bounces, operator, headers, body)
        if await self._notices.make(notice, found, mail):
            self._switched_off -= set(notice.switched_off)
            self._telemetry.noticed(notice.buried, len(notice.outages), len(notice.switched_off))
