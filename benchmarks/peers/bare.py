"""The bound: events from a Redis list in batches, bytes from a skeleton, one write and one read a mail, ten sessions.

It keeps nothing: what it has popped when it dies is lost, and a reply that it does not like ends it.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import redis.asyncio
import uvloop
from letter import PORT, QUEUE, RECIPIENT, REDIS, SENDER

SESSIONS, BATCH = 10, 500
START = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode()
SKELETON = (
    f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: %s %sd\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\nUser id: %s\r\n%s: %s -> %s\r\n.\r\n"
)


class Session(asyncio.Protocol):
    """One connection: with each final dot goes the next transaction's beginning."""

    def __init__(self, queue: deque[bytes], drained: Callable[[], None]) -> None:
        self._queue, self._drained = queue, drained
        self._heard, self._wanted = b"", 1
        self._greeted = self._idle = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast(asyncio.Transport, transport)

    def take_over(self, transport: asyncio.BaseTransport) -> None:
        """Go on with a connection on which somebody else has said EHLO."""
        self._transport = cast(asyncio.Transport, transport)
        self._greeted, self._wanted = True, 3
        self._transport.write(START)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._heard += data
        *lines, self._heard = self._heard.split(b"\r\n")
        for line in lines:
            if line[:1] not in (b"2", b"3"):
                raise SystemExit(f"the server says {line!r}")
            if line[3:4] != b"-":
                self._wanted -= 1
        if self._wanted:
            return
        if not self._greeted:
            self._greeted, self._wanted = True, 1
            self._transport.write(b"EHLO localhost\r\n")
            return
        if lines[-1][:3] == b"250" and b"354" not in lines[-1]:
            # After EHLO: the first transaction begins, and waits at its DATA.
            self._wanted = 3
            self._transport.write(START)
            return
        self._idle = True
        self.turn()

    def turn(self) -> None:
        """Send the next message, where one waits and the server waits for it."""
        if not self._idle or not self._queue:
            return
        assert self._transport is not None
        self._idle, self._wanted = False, 4
        self._transport.write(self._queue.popleft() + START)
        if len(self._queue) < BATCH:
            self._drained()


def same(session: Session) -> Session:
    return session


def compose(text: bytes) -> bytes:
    data = json.loads(text)["data"]
    change = data["changes"][0]
    said = (data["resource_name"], data["action"], data["user_id"], change["uri"], change["old"], change["new"])
    return (SKELETON % said).encode()


async def main() -> None:
    client: Any = redis.asyncio.Redis.from_url(REDIS, socket_timeout=None)
    queue: deque[bytes] = deque()
    hungry = asyncio.Event()
    loop = asyncio.get_running_loop()
    sessions = [Session(queue, hungry.set) for _ in range(SESSIONS)]
    for one in sessions:
        await loop.create_connection(partial(same, one), "127.0.0.1", PORT)
    print("ready")
    while True:
        _, first = await client.brpop([QUEUE])
        queue.append(compose(first))
        while texts := await client.rpop(QUEUE, BATCH):
            queue.extend(map(compose, texts))
            for one in sessions:
                one.turn()
            if len(queue) > BATCH:
                hungry.clear()
                await hungry.wait()
        for one in sessions:
            one.turn()


if __name__ == "__main__":
    uvloop.run(main())
