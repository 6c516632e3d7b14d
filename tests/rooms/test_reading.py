"""R15: a read that was cut off may have been done: what Redis handed out is read again before anything new."""

import asyncio

import pytest

from kinto_notify.demo.servers import RedisServer
from kinto_notify.errors import StoreUnavailable
from kinto_notify.intake import Intake
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client
from kinto_notify.store.connection import BLOCK_MS, SOCKET_TIMEOUT_S
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from kinto_notify.wire import GROUP
from support.events import change, event, fields
from support.proxy import Proxy
from support.subscribed import catalogue_of, subscribe


async def handed_out(client: Client) -> int:
    """How many entries are pending."""
    return int((await client.redis.xpending(client.stream, GROUP))["pending"])


@pytest.mark.parametrize("how", ["cancelled", "cut"])
async def test_r15_a_read_that_was_cut_off_loses_nothing(redis_server: RedisServer, client: Client, how: str) -> None:
    with Proxy(redis_server.port) as proxy:
        remote = Client(f"redis://127.0.0.1:{proxy.port}/0", client.prefix.strip("{}"))
        catalogue = catalogue_of(subscribe())
        intake = Intake(
            Stream(remote, "one"), Alone(remote), lambda: catalogue, Telemetry(), keep_ms=60_000, due=lambda delay: None
        )
        assert await intake.work(wait=False) == 0
        for number in range(3):
            # Requests pass, and their replies don't.
            proxy.hold()
            reading = asyncio.create_task(intake.work(wait=True))
            await client.redis.xadd(client.stream, fields(event(change(f"r{number}"))))
            async with asyncio.timeout(30):
                while await handed_out(client) != 1:
                    pass
            if how == "cancelled":
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            else:
                proxy.cut()
                with pytest.raises(StoreUnavailable):
                    await reading
            proxy.release()
            assert await intake.work(wait=False) == 1
            # Now it has nothing of its own to look for first.
            assert await intake.work(wait=False) == 0
            assert await handed_out(client) == 0
        await remote.close()
    assert (await client.hash("totals"))["events"] == b"3"
    assert (await client.hash("totals"))["known"] == b"0"


def test_r14_a_blocked_read_is_never_taken_for_a_dead_server() -> None:
    """An operator cannot change either: the URL's query may not (tests/cli/test_check.py)."""
    assert BLOCK_MS / 1000 < SOCKET_TIMEOUT_S / 2
