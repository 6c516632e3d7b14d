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
        key = wire.events_key(namespace).encode()
        #: XADD, but for the length and the bytes of the event.
        self._xadd = _packed(7, b"XADD", key, b"*", wire.FIELD_VERSION.encode(), wire.VERSION.encode(),
                             wire.FIELD_EVENT.encode())  # fmt: skip

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
            bodies = [one.body for entry in entries for one in complete(entry)]
            self._send(server, bodies)
            self._gate.appended(len(bodies), sum(map(len, bodies)))
        except (redis.RedisError, OSError) as error:
            self.close()
            raise StoreUnavailable(_reason(error)) from None

    def close(self) -> None:
        """Drop the connection; the next `append` opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _send(self, server: Any, bodies: Sequence[bytes]) -> None:
        """Append in one transaction: were one of them refused, those after it would overtake it.

        The bytes are put together here: a pipeline of redis-py takes as long for it as all else that the relay does
        with an event, and a thread of Kinto's process is no place for that.
        """
        pool = server.connection_pool
        connection = _taken(pool)
        try:
            commands = [b"%b$%d\r\n%b\r\n" % (self._xadd, len(body), body) for body in bodies]
            connection.send_packed_command([b"".join([_MULTI, *commands, _EXEC])])
            # One for MULTI, one for each command, which is where Redis says that it is full.
            for _ in range(len(bodies) + 1):
                connection.read_response()
            _no_fault(connection.read_response())
        except BaseException:
            # Answers may be on their way that nobody will read.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

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


def _packed(number: int, *words: bytes) -> bytes:
    """Write the first words of a command of so many as Redis reads them (RESP)."""
    return b"*%d\r\n" % number + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


_MULTI, _EXEC = _packed(1, b"MULTI"), _packed(1, b"EXEC")


def _taken(pool: Any) -> Any:
    """Take a connection out of a pool; older ones want to know what for."""
    try:
        return pool.get_connection()
    except TypeError:
        return pool.get_connection("EXEC")


def _no_fault(replies: Any) -> None:
    """Raise what EXEC tells of a command that failed."""
    for reply in replies or ():
        if isinstance(reply, Exception):
            raise reply


def _reason(error: BaseException) -> str:
    """Name the fault in one line. redis-py's own texts hold host and port, never the password."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
