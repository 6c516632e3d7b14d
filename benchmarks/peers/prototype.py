"""The prototype that the mail path was designed after, not durable: entries of a stream, validated by a slim model.

As `bare.py`, but it reads a consumer group by the 500, validates each event with pydantic, and acknowledges what it has
composed, before it is sent: what it holds when it dies is lost.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any

import redis.asyncio
import uvloop
from bare import BATCH, SESSIONS, SKELETON, Session, same
from letter import PORT, QUEUE, REDIS
from pydantic import BaseModel, TypeAdapter


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


def compose(text: bytes) -> bytes:
    data = _adapter.validate_json(text).data
    change = data.changes[0]
    return (SKELETON % (data.resource_name, data.action, data.user_id, change.uri, change.old, change.new)).encode()


async def main() -> None:
    client: Any = redis.asyncio.Redis.from_url(REDIS, socket_timeout=None)
    await client.xgroup_create(QUEUE, "prototype", "0", mkstream=True)
    queue: deque[bytes] = deque()
    hungry = asyncio.Event()
    loop = asyncio.get_running_loop()
    sessions = [Session(queue, hungry.set) for _ in range(SESSIONS)]
    for one in sessions:
        await loop.create_connection(partial(same, one), "127.0.0.1", PORT)
    print("ready")
    while True:
        found = await client.xreadgroup("prototype", "one", {QUEUE: ">"}, count=BATCH, block=0)
        entries = [entry for _, of_stream in found for entry in of_stream]
        queue.extend(compose(fields[b"event"]) for _, fields in entries)
        for one in sessions:
            one.turn()
        await client.xack(QUEUE, "prototype", *(ident for ident, _ in entries))
        if len(queue) > BATCH:
            hungry.clear()
            await hungry.wait()


if __name__ == "__main__":
    uvloop.run(main())
