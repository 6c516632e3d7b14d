"""A courier and its ledger at work, as in a daemon, for the tests of rooms, store and pool together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kinto_notify.courier import Courier
from kinto_notify.delivery import RetryPolicy
from kinto_notify.ledger import Ledger
from kinto_notify.smtp.pool import Pool
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.digests import Addressed, Digests, Step
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.filings import entries, filed, filing


async def make(client: Client, number: int) -> None:
    """So many deliveries of one digest."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing("a"))], [])
    (digest,) = await Digests(client).freeze(10)
    addressed = tuple(Addressed(str(n), f"u{n}@example.org", b"To: u%d\r\n" % n) for n in range(number))
    await Digests(client).fan_out([Step(digest, 0, number, True, b"\r\nbody", "bounce@example.org", addressed)])


@asynccontextmanager
async def sending(client: Client, pool: Pool) -> AsyncIterator[None]:
    """Run a courier and its ledger as the daemon does."""
    telemetry = Telemetry()
    deliveries = Deliveries(client)
    ledger = Ledger(deliveries, telemetry)
    courier = Courier(deliveries, pool, ledger, telemetry, policy=RetryPolicy())
    stop = asyncio.Event()

    async def live(step: Callable[[], object]) -> None:
        while not stop.is_set():
            await step()  # type: ignore[misc]

    rooms = [asyncio.create_task(live(lambda: courier.step(stop))), asyncio.create_task(live(ledger.work))]
    try:
        yield
    finally:
        stop.set()
        ledger.wake()
        await courier.drain(0)
        await ledger.tell()
        await asyncio.gather(*rooms)
        await pool.close()


async def settled(client: Client, **numbers: int) -> None:
    """Wait until the store says so."""
    async with asyncio.timeout(60):
        while True:
            told = await overview(client)
            found = {"deliveries": told.deliveries, "dead": told.dead_letters, "sent": told.totals.get("sent", 0)}
            if found == {**found, **numbers}:
                return
            await asyncio.sleep(0.02)
