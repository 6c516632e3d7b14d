"""The near end of the Redis stream: connect, and append entries in one round trip.

In: entries. Out: whether Redis has all of them. Raises `StoreUnavailable` with the reason, without any password; after
it, some of the entries may be in the stream: appending them again is safe, their event ids are the same. `StreamHeld`
while Redis is nearly full: nothing was appended.
"""

from collections.abc import Sequence
from typing import Any

import redis

from kinto_notify import wire
from kinto_notify.errors import StoreUnavailable
from kinto_notify.outbox.admission import Gate
from kinto_notify.outbox.brief import complete
from kinto_notify.outbox.redis_url import connect
from kinto_notify.outbox.split import Entry


class Stream:
    """A connection to the stream of one namespace, opened when first needed."""

    def __init__(self, url: str, namespace: str, retention: int) -> None:
        self._url = url
        self._namespace = namespace
        self._retention = retention
        self._client: Any = None
        self._gate = Gate(namespace)

    @property
    def rest(self) -> float:
        """The seconds to rest before the next batch: none, until Redis fills."""
        return self._gate.rest

    def append(self, entries: Sequence[Entry]) -> None:
        """Append all entries, in order, or raise; those in brief are told at length."""
        try:
            if self._client is None:
                self._connect()
            server = self._server()
            self._gate.pass_through(server)
            # All or nothing: were one of them refused, those after it would overtake it.
            with server.pipeline(transaction=True) as pipe:
                for entry in map(complete, entries):
                    fields = {wire.FIELD_VERSION: wire.VERSION, wire.FIELD_EVENT: entry.body}
                    pipe.xadd(wire.events_key(self._namespace), fields)
                pipe.execute()
            self._gate.appended(len(entries), sum(len(entry.body) for entry in entries))
        except (redis.RedisError, OSError) as error:
            self.close()
            raise StoreUnavailable(_reason(error)) from None

    def close(self) -> None:
        """Drop the connection; the next `append` opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _server(self) -> Any:
        """Return the client to append with: of a cluster that of the node which has the stream now.

        A cluster's own pipeline is no transaction. One that moves the stream meanwhile refuses the batch; then all
        begins with a new look at who has what.
        """
        if not self._url.startswith("redis+cluster://"):
            return self._client
        node = self._client.get_node_from_key(wire.events_key(self._namespace))
        return self._client.get_redis_connection(node)

    def _connect(self) -> None:
        client = connect(self._url)
        try:
            self._announce(client)
        except BaseException:
            client.close()
            raise
        self._client = client

    def _announce(self, client: Any) -> None:
        """Tell the daemon how long rows may come again, so that it knows their ids that long."""
        key = f"{{{self._namespace}}}:meta"
        told = client.hget(key, "retention")
        if not told or not told.isdigit() or int(told) < self._retention:
            client.hset(key, "retention", str(self._retention))


def _reason(error: BaseException) -> str:
    """Name the fault in one line. redis-py's own texts hold host and port, never the password."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
