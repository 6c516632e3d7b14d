"""A pool of aiosmtplib's sessions, kept open, and a message that is ready: four round trips a mail.

    python smtp_pool.py SESSIONS

A number in the list is how many mails to send.
"""

import asyncio
import sys
from typing import Any

import aiosmtplib
import redis.asyncio
import uvloop
from letter import PORT, QUEUE, RECIPIENT, REDIS, SENDER

MESSAGE = (
    f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: record updated\r\nMIME-Version: 1.0\r\n"
    f"Content-Type: text/plain; charset=utf-8\r\n\r\nUser id: account:alice\r\n{'x' * 500}\r\n"
).encode()


async def send(session: aiosmtplib.SMTP, tickets: list[None]) -> None:
    while tickets:
        tickets.pop()
        await session.sendmail(SENDER, [RECIPIENT], MESSAGE)


async def main() -> None:
    client: Any = redis.asyncio.Redis.from_url(REDIS, socket_timeout=None)
    sessions = [aiosmtplib.SMTP(hostname="127.0.0.1", port=PORT) for _ in range(int(sys.argv[1]))]
    await asyncio.gather(*(session.connect() for session in sessions))
    print("ready")
    while True:
        _, number = await client.brpop([QUEUE])
        tickets = [None] * int(number)
        await asyncio.gather(*(send(session, tickets) for session in sessions))


if __name__ == "__main__":
    uvloop.run(main())
