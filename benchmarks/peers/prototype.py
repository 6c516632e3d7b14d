"""The prototype that the mail path was designed after, which is not durable.

It reads a stream's consumer group by the 500, validates each event with a slim model, moves it to a list of its digest
in one transaction that acknowledges it, takes the lists back, and sends what it makes of them as `bare.py` does, on
connections that aiosmtplib has opened. What it holds when it dies is lost.
"""

import asyncio
from collections import deque
from typing import Any

import aiosmtplib
import redis.asyncio
import uvloop
from bare import BATCH, SESSIONS, SKELETON, Session
from letter import PORT, QUEUE, REDIS
from pydantic import BaseModel, TypeAdapter

GROUP = "prototype"


class Change(BaseModel):
    uri: str
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None


class Data(BaseModel):
    resource_name: str
    action: str
    user_id: str
    changes: list[Change]


class Event(BaseModel):
    id: str
    data: Data


_adapter = TypeAdapter(Event)


def line(text: bytes) -> tuple[str, bytes]:
    """Return the id of an event, and what its mail will say."""
    event = _adapter.validate_json(text)
    data, change = event.data, event.data.changes[0]
    said = SKELETON % (data.resource_name, data.action, data.user_id, change.uri, change.old, change.new)
    return event.id, said.encode()


async def through_digests(client: Any) -> list[bytes]:
    """Read events, file each under its digest, and take the digests back."""
    found = await client.xreadgroup(GROUP, "one", {QUEUE: ">"}, count=BATCH, block=0)
    entries = [entry for _, of_stream in found for entry in of_stream]
    lines = [line(fields[b"event"]) for _, fields in entries]
    filing = client.pipeline(transaction=True)
    for ident, text in lines:
        filing.rpush(f"digest:{ident}", text)
    filing.xack(QUEUE, GROUP, *(ident for ident, _ in entries))
    await filing.execute()
    taking = client.pipeline(transaction=True)
    for ident, _ in lines:
        taking.lpop(f"digest:{ident}")
    return list(await taking.execute())


async def opened(queue: deque[bytes], hungry: asyncio.Event) -> tuple[aiosmtplib.SMTP, Session]:
    """Open a session with aiosmtplib, and take its connection over."""
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=PORT)
    await client.connect()
    await client.ehlo()
    assert client.transport is not None
    session = Session(queue, hungry.set)
    client.transport.set_protocol(session)
    session.take_over(client.transport)
    return client, session


async def main() -> None:
    client: Any = redis.asyncio.Redis.from_url(REDIS, socket_timeout=None)
    await client.xgroup_create(QUEUE, GROUP, "0", mkstream=True)
    queue: deque[bytes] = deque()
    hungry = asyncio.Event()
    sessions = [await opened(queue, hungry) for _ in range(SESSIONS)]
    print("ready")
    while True:
        queue.extend(await through_digests(client))
        for _, one in sessions:
            one.turn()
        if len(queue) > BATCH:
            hungry.clear()
            await hungry.wait()


if __name__ == "__main__":
    uvloop.run(main())
