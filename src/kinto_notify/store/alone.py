"""What is handled alone, since it was handed out again and again: perhaps it is what ended those that held it.

In: the id of an entry or of a digest. Out: how often it was begun without an end. One that ended so many daemons is
buried: what a process does not survive cannot be told from its content, only from what happened.
"""

from kinto_notify.store.client import Client, translated

#: Daemons that one thing ends follow each other within minutes; after so long without any, all is forgotten.
_FORGOTTEN_MS = 86_400_000


class Alone:
    """The notes of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # What this process began and whose end is not noted in Redis yet, and how often it was begun.
        self._begun: dict[str, int] = {}

    async def begin(self, ident: str) -> int:
        """Note that something is about to be handled alone; return for the how-manieth time.

        Counted once for each life of a daemon: a second try after a fault of Redis is not another daemon's end.
        """
        if ident not in self._begun:
            async with translated():
                pipe = self._client.redis.pipeline(transaction=False)
                pipe.hincrby(self._client.key("alone"), ident, 1)
                # Not every end can be noted: Redis may be away just then.
                pipe.pexpire(self._client.key("alone"), _FORGOTTEN_MS)
                times, _ = await pipe.execute()
            self._begun[ident] = int(times)
        return self._begun[ident]

    async def end(self, ident: str) -> None:
        """Note that it was handled, whatever became of it."""
        async with translated():
            await self._client.redis.hdel(self._client.key("alone"), ident)
        del self._begun[ident]
