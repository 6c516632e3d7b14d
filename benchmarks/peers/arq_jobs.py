"""arq: a job for each event, which sends its mail with aiosmtplib.

arq arq_jobs.WorkerSettings
python arq_jobs.py give FILE
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiosmtplib
from arq import create_pool
from arq.connections import RedisSettings
from letter import PORT, REDIS, letter


async def send(_context: dict[str, Any], text: str) -> None:
    await aiosmtplib.send(letter(text), hostname="127.0.0.1", port=PORT)


async def say_ready(_context: dict[str, Any]) -> None:
    print("ready", flush=True)


class WorkerSettings:
    functions = (send,)
    on_startup = say_ready
    redis_settings = RedisSettings.from_dsn(REDIS)
    keep_result = 0


async def give(file: str) -> None:
    pool = await create_pool(RedisSettings.from_dsn(REDIS))
    lines = Path(file).read_text().splitlines()  # noqa: ASYNC240 - there is nothing else to do
    for start in range(0, len(lines), 100):
        await asyncio.gather(*(pool.enqueue_job("send", line) for line in lines[start : start + 100]))
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(give(sys.argv[2]))
