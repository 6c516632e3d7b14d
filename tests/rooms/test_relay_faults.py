"""What a fault of the relay costs the deliveries: nothing. Courier, ledger, store and pool together, in earnest."""

import asyncio

import pytest

from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.circuit import Circuit
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts
from kinto_notify.store.client import Client
from kinto_notify.store.overview import overview
from support.sending import make, sending, settled
from support.smtp_server import SmtpServer, say


def trials_in(seconds: float) -> int:
    """How often a relay that always fails is tried in so long a time, at most."""
    circuit, now, count = Circuit(Timeouts().pause_least, Timeouts().pause_most), 0.0, 0
    while now < seconds:
        circuit.fail(now, begun=now, fault="535", jitter=0.0)
        now, count = circuit.until, count + 1
    return count


def test_s03_an_hour_of_wrong_passwords_is_some_eighty_logins() -> None:
    """Few enough that no relay takes them for an attack."""
    assert 60 <= trials_in(3600) <= 90


async def test_s03_auth_535_for_an_hour_buries_nothing(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """As many refused logins as an hour has, a thousand times as fast; one line, no dead letter, no attempt counted."""
    real = Timeouts()
    scaled = Timeouts(pause_least=real.pause_least / 1000, pause_most=real.pause_most / 1000)
    logins = trials_in(3600)
    await make(client, logins + 20)
    async with SmtpServer(users={"me": "right"}) as server:
        pool = Pool(parse_relays(server.url, "me", "wrong"), sessions=10, timeouts=scaled)
        async with sending(client, pool):
            async with asyncio.timeout(120):
                await server.saw("auth", logins)
            assert (await overview(client)).dead_letters == 0
            assert not server.mails
            server.users = {"me": "wrong"}
            await settled(client, deliveries=0, dead=0, sent=logins + 20)
        assert len({mail.recipient for mail in server.mails}) == len(server.mails) == logins + 20
    lines = capsys.readouterr().out.splitlines()
    assert sum("smarthost unavailable" in line for line in lines) == 1
    assert sum("smarthost is back" in line for line in lines) == 1
    assert not any("deferred" in line for line in lines)


async def test_a_stalled_message_does_not_keep_a_relay_from_being_tried_again(client: Client) -> None:
    """One session hangs at its dot while the relay goes and comes back: the others do not wait for it."""
    await make(client, 12)
    async with SmtpServer() as server:
        server.script["dot"] = [say("250 at last", gate=(gate := asyncio.Event()))]
        server.script["mail"] = ["250 ok", *[say("421 4.3.2 going down", close=True)] * 4]
        pool = Pool(parse_relays(server.url), sessions=2, timeouts=Timeouts(pause_least=0.05, pause_most=0.1))
        async with sending(client, pool):
            await server.saw("dot")
            await settled(client, sent=11)
            assert (await overview(client)).deliveries == 1
            gate.set()
            await settled(client, deliveries=0, dead=0, sent=12)
