"""The list of another listener: reading its old end, and moving what stands there to the stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from kinto_notify.store.client import Argument, Client, translated

#: Payloads have some hundred bytes; a script with so many stays within milliseconds.
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry as it `stands` in the list, and the `event` that it becomes; without one it is dropped, or becomes a
    dead letter where there is a `reason`.
    """

    stands: bytes
    event: bytes = b""
    reason: str = ""


class OldList:
    """One list, whose entries were pushed to its left end. Its key is of no namespace, so Redis must be no Cluster."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    async def oldest(self) -> list[bytes]:
        """Return the oldest entries, the oldest first, and leave them there; `RefusedByRedis` if it is no list."""
        async with translated():
            found = cast(list[bytes], await self._client.redis.lrange(self.name, -_BATCH, -1))
        return found[::-1]

    async def move(self, entries: Sequence[Moved]) -> tuple[int, int]:
        """Take these off the list and append them to the stream, in one atomic step.

        Returns how many were taken, and how many of them are dead letters: fewer where another daemon took some.
        """
        flat: list[Argument] = []
        for one in entries:
            flat += (one.stands, one.event, one.reason)
        told = await self._client.run("move", self._client.stream, flat, self.name)
        assert isinstance(told, list)
        return int(told[0]), int(told[1])
