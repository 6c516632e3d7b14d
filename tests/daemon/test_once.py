"""`run --once` holds leases and tells settlements as a serving daemon does: other daemons work beside it."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.daemon import Daemon
from kinto_notify.demo.servers import RedisServer
from kinto_notify.settings import load_settings
from kinto_notify.store.deliveries import LEASE_MS
from kinto_notify.telemetry import Telemetry
from support.daemon import DaemonProcess, clean_environment
from support.events import change, event, publish
from support.smtp_script import say
from support.smtp_server import SmtpServer, SmtpServerThread
from support.stream import eventually

DELIVERIES = "{kinto-notify}:deliveries"


@pytest.fixture
def once(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> Iterator[DaemonProcess]:
    made = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine)
    yield made
    made.kill()


def test_what_is_sent_is_told_while_another_mail_still_waits(
    once: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """A dot may take ten minutes, and a lease lasts one: what waited to be told until then would be sent again."""
    gate = asyncio.Event()
    smtp.server.script["dot"] = [say("250 2.0.0 queued", gate=gate)]
    table = Path(once.variables["subscriptions"])
    table.write_text(table.read_text().replace('["anna@example.org"]', '["anna@example.org", "ben@example.org"]'))
    publish(redis_server.url, "kinto-notify", event(change("x")))
    once.start("--once")
    with redis.Redis.from_url(redis_server.url) as client:
        eventually(lambda: smtp.server.reached["dot"] == 2 and client.zcard(DELIVERIES) == 1)
        smtp._loop.call_soon_threadsafe(gate.set)
        assert once.process is not None
        assert once.process.wait(30) == 0
        assert client.zcard(DELIVERIES) == 0
    assert len(smtp.mails) == 2


async def test_leases_are_renewed(redis_server: RedisServer, machine: dict[str, str]) -> None:
    async with SmtpServer() as server:
        gate = asyncio.Event()
        server.script["dot"] = [say("250 2.0.0 queued", gate=gate)]
        told = {"redis_url": redis_server.url, "smtp_url": server.url, "sender": "kinto@example.org", **machine}
        daemon = Daemon(load_settings(clean_environment(**told)), Telemetry())
        publish(redis_server.url, "kinto-notify", event(change("x")))
        running = asyncio.create_task(daemon.once())
        await server.saw("dot")
        with redis.Redis.from_url(redis_server.url) as client:
            ((ident, _),) = client.zrange(DELIVERIES, 0, -1, withscores=True)
            nearly = client.time()[0] * 1000 + LEASE_MS / 4
            client.zadd(DELIVERIES, {ident: nearly})
            # Twenty seconds later:
            daemon._ledger._next_renewal = time.monotonic()
            await server.until(lambda: (client.zscore(DELIVERIES, ident) or 0) > nearly, what="a renewal")
        gate.set()
        assert await running == 0


def test_the_first_signal_finishes_what_is_in_hand(
    once: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    gate = asyncio.Event()
    smtp.server.script["dot"] = [say("250 2.0.0 queued", gate=gate)]
    publish(redis_server.url, "kinto-notify", event(change("x")))
    once.start("--once")
    eventually(lambda: smtp.server.reached["dot"])
    once.signal(signal.SIGTERM)
    once.wait_told("draining")
    smtp._loop.call_soon_threadsafe(gate.set)
    assert once.process is not None
    assert once.process.wait(30) == 0
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.zcard(DELIVERIES) == 0


def test_r01_redis_that_comes_back_hears_what_was_sent(
    once: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    gate = asyncio.Event()
    smtp.server.script["dot"] = [say("250 2.0.0 queued", gate=gate)]
    publish(redis_server.url, "kinto-notify", event(change("x")))
    once.start("--once")
    smtp.wait_for(1)
    redis_server.stop()
    smtp._loop.call_soon_threadsafe(gate.set)
    once.wait_told("redis unavailable")
    redis_server.start()
    assert once.process is not None
    once.process.wait(30)
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.zcard(DELIVERIES) == 0
    assert len(smtp.mails) == 1
