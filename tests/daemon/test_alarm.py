"""What wakes the digester costs the same however long digests stay open (L07)."""

import asyncio
import gc

from kinto_notify.daemon import Daemon
from kinto_notify.settings import load_settings
from kinto_notify.telemetry import Telemetry
from support.daemon import clean_environment


def daemon() -> Daemon:
    return Daemon(load_settings(clean_environment(sender="kinto@example.org")), Telemetry())


async def test_l07_a_day_of_batches_leaves_no_day_of_timers() -> None:
    made = daemon()
    for number in range(5_000):
        made._due_in(86_400_000 + number)
    assert sum(isinstance(one, asyncio.TimerHandle) for one in gc.get_objects()) < 100


async def test_the_soonest_wakes_it() -> None:
    made = daemon()
    made._due_in(86_400_000)
    made._due_in(20)
    made._due_in(3_600_000)
    async with asyncio.timeout(30):
        await made._due.wait()
    made._due.clear()
    # After the alarm the next one is set; one that is due already rings at once.
    made._due_in(0)
    async with asyncio.timeout(30):
        await made._due.wait()
