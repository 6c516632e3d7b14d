"""taskiq: a task for each event from a Redis stream, which sends its mail with aiosmtplib.

taskiq worker taskiq_tasks:broker
python taskiq_tasks.py give FILE
"""

import asyncio
import sys
from pathlib import Path

import aiosmtplib
from letter import PORT, REDIS, letter
from taskiq import TaskiqEvents
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(url=REDIS)


async def send(text: str) -> None:
    await aiosmtplib.send(letter(text), hostname="127.0.0.1", port=PORT)


async def say_ready(_state: object) -> None:
    print("ready", flush=True)


task = broker.task("send")(send)
broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, say_ready)


async def give(file: str) -> None:
    await broker.startup()
    for line in Path(file).read_text().splitlines():  # noqa: ASYNC240 - there is nothing else to do
        await task.kiq(line)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(give(sys.argv[2]))
