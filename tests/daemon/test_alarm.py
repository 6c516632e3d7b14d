"""What wakes the digester costs the same however long digests stay open (L07)."""

import asyncio
import gc

from kinto_notify.alarm import Alarm


async def test_l07_a_day_of_batches_leaves_no_day_of_timers() -> None:
    alarm = Alarm(asyncio.Event())
    for number in range(5_000):
        alarm.within(86_400_000 + number)
    assert sum(isinstance(one, asyncio.TimerHandle) for one in gc.get_objects()) < 100


async def test_the_soonest_wakes_it() -> None:
    event = asyncio.Event()
    alarm = Alarm(event)
    for delay in (86_400_000, 20, 3_600_000):
        alarm.within(delay)
    async with asyncio.timeout(30):
        await event.wait()
    event.clear()
    # After the alarm the next one is set; one that is due already rings at once.
    alarm.within(0)
    async with asyncio.timeout(30):
        await event.wait()
