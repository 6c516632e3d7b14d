"""The digester beside the other rooms of its event loop."""

import asyncio

from kinto_notify.compose.composer import Composer
from kinto_notify.digester import Digester
from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.digests import SENDER
from support.filings import entries, filed, filing, key


async def test_the_loop_turns_between_two_mails(client: Client) -> None:
    """A large mail takes 50 ms to compose: sixty of them at once would keep sessions and signals waiting."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, *(filing("r", to=key(group=str(number))) for number in range(20)))], [])
    composer, turns, at_each = Composer(sender=SENDER), 0, []

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def composing() -> Composer:
        at_each.append(turns)
        return composer

    turning = asyncio.create_task(turn())
    digester = Digester(Digests(client), composing, Telemetry(), bounce_address="b@example.org", ready=lambda: None)
    assert await digester.work() == 20
    turning.cancel()
    assert len(set(at_each)) == 20
    assert (await overview(client)).deliveries == 20
