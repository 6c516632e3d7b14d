"""Mails that are leased before a session is free for them: they wait for a moment only, and it costs them nothing."""

import asyncio

from kinto_notify.delivery import Delivery
from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from kinto_notify.store.client import Client
from kinto_notify.store.deliveries import Deliveries
from kinto_notify.store.overview import overview
from support.sending import make, sending, settled
from support.smtp_server import SmtpServer, say


async def leased_elsewhere(client: Client, number: int) -> list[Delivery]:
    """Lease as another daemon would, until there are so many."""
    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while len(found) < number:
            found += (await Deliveries(client).lease(10)).deliveries
            await asyncio.sleep(0.02)
    return found


async def test_a_mail_that_waits_behind_one_that_stalls_is_left_to_other_daemons(client: Client) -> None:
    """It has not been tried, and its recipient is asked for nothing twice."""
    await make(client, 6)
    async with SmtpServer() as server:
        # The first is answered at once, so that more are leased; the second stalls, and those behind it wait.
        server.script["dot"] = ["250 queued", say("250 at last", gate=(gate := asyncio.Event()))]
        pool = Pool(parse_relays(server.url), sessions=1, timeouts=Timeouts(stall=0.5))
        async with sending(client, pool):
            await server.saw("dot", 2)
            found = await leased_elsewhere(client, 4)
            assert {delivery.attempts for delivery in found} == {0}
            assert len({delivery.id for delivery in found}) == 4
            gate.set()
            await settled(client, deliveries=4, dead=0, sent=2)
        assert len(server.mails) == 2
        assert not {mail.recipient for mail in server.mails} & {delivery.recipient for delivery in found}


async def test_the_end_of_a_drain_returns_what_only_waited(client: Client) -> None:
    """The one whose reply is missing is ambiguous, and rests; the announced one and the others are due at once."""
    await make(client, 3)
    async with SmtpServer() as server:
        server.script["dot"] = ["250 queued", say("250 never", gate=asyncio.Event())]
        pool = Pool(parse_relays(server.url), sessions=1)
        async with sending(client, pool):
            await server.saw("dot", 2)
            if (await overview(client)).deliveries == 3:
                await settled(client, deliveries=2, dead=0, sent=1)
        (rest,) = await leased_elsewhere(client, 1)
        assert rest.attempts == 0
        assert (await Deliveries(client).lease(10)).deliveries == ()
        assert (await overview(client)).totals["deferred"] == 1
