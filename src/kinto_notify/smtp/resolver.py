"""Names to addresses without the event loop ever waiting for the DNS.

In: a host and a port. Out: what `getaddrinfo` found. Fails with its `OSError`. The lookups run in threads of their own
that nobody joins: in the loop's pool a hung DNS would keep Redis' lookups waiting, and the process from ending.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

#: What `getaddrinfo` returns: family, type, protocol, canonical name, socket address.
Found = Sequence[tuple[int, int, int, str, tuple[object, ...]]]
LookUp = Callable[..., Found]
T = TypeVar("T")


class Resolver:
    """One loop's lookups. Those for the same host run once, however many sessions wait for it.

    `name` is our own full name where it is known already; looking it up takes long where the DNS is ill. `look_up` may
    block for as long as it likes.
    """

    def __init__(self, name: str | None = None, look_up: LookUp = socket.getaddrinfo) -> None:
        self._known = name
        self._look_up = look_up
        self._asked: dict[tuple[str, int], asyncio.Future[Found]] = {}
        self._name: asyncio.Future[str] | None = None

    async def addresses(self, host: str, port: int) -> Found:
        """Return the addresses of a host in the order of preference; a cancelled wait leaves the lookup to others."""
        with contextlib.suppress(socket.gaierror):
            # An address asks nobody.
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        key = (host, port)
        if key not in self._asked:
            asked = self._asked[key] = _aside(lambda: self._look_up(host, port, type=socket.SOCK_STREAM))
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(self._asked[key])

    async def own_name(self) -> str:
        """Return our host's full name, asked once."""
        if self._known is not None:
            return self._known
        if self._name is None:
            self._name = _aside(socket.getfqdn)
        return await asyncio.shield(self._name)


def _aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run what may hang in a thread that ends with the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def conclude(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)
            # Nobody may be waiting any more.
            future.exception()

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as fault:  # noqa: BLE001 - it is told to whoever waits
            error = fault
        # The loop may be gone when the answer comes.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(conclude, result, error)

    threading.Thread(target=run, name="kinto-notify-dns", daemon=True).start()
    return future
