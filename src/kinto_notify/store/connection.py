"""How we connect: explicit timeouts, no hidden retries; one server, the primary that a Sentinel names, or the node of a
cluster that has our slot.

redis-py's own defaults are not ours: it would retry a command ten times (a retried XADD runs twice) and time out a
blocking read that is longer than its socket timeout.
"""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from kinto_notify.store.cluster import pool_to_owner

#: How long a read of the stream blocks: short, so that a drain need not cancel it (entries could be lost in flight).
BLOCK_MS = 1_000
#: Longer than BLOCK_MS, so that a blocked read is never taken for a dead server; a hung server is noticed after it.
SOCKET_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
_SENTINEL_PORT, _CLUSTER_PORT = 26379, 6379
#: A sentinel answers from memory. One that hangs must not keep us from asking the next, while a fail-over goes on.
_SENTINEL_TIMEOUT_S = 2.0
#: What the query of a URL may say. What it says of time-outs, retries and encodings would win over what we rely on: a
#: socket that gives up before a blocked read does finds Redis dead each time.
_QUERY = ("db", "username", "password", "client_name")


def connect(url: str, key: str) -> Redis:
    """Make redis-py's client; nothing is connected yet. `ValueError`, without the URL, for what it cannot use.

    In a cluster it is one of the node that has the slot of `key`.
    """
    scheme = url.partition("://")[0]
    if scheme == "redis+sentinel":
        return _primary(url)
    if scheme == "redis+cluster":
        return _owner(url, key)
    for name, _ in parse_qsl(urlsplit(url).query):
        if name not in _QUERY and not name.startswith("ssl_"):
            allowed = ", ".join(_QUERY)
            raise ValueError(f"its query (after the '?') may not set {name[:40]!r}, but {allowed} and ssl_*")
    made: Redis = Redis.from_url(url, **_options(tcp=scheme != "unix"))
    try:
        # This only shows whether the options of the URL's query are known.
        made.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError:
        raise ValueError("its query (after the '?') has an option that is not known") from None
    return _packing(made)


class _Packing:
    """Over a connection of redis-py's: commands are packed in C. In Python that took as long as composing a mail."""

    def pack_command(self, *arguments: str | bytes | int | float) -> list[bytes]:
        # A name may hold two words, as redis-py has it: `CLIENT SETINFO`.
        first, *others = arguments
        names = str(first).split() if not isinstance(first, bytes) else first.split()
        return [pack_command((*names, *others))]


def _packing(client: Redis) -> Redis:
    pool = client.connection_pool
    kind: Any = pool.connection_class
    pool.connection_class = type(f"Packing{kind.__name__}", (_Packing, kind), {})
    return client


async def disconnect(client: Redis) -> None:
    """Close all connections of a client that `connect` made, those to the sentinels too."""
    pool = client.connection_pool
    await client.aclose()
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _primary(url: str) -> Redis:
    """Read `redis+sentinel://[user:password@]host:port,host:port/service/db`."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service or not hosts:
        raise ValueError("redis+sentinel:// is written redis+sentinel://host:port,host:port/service/0")
    if database and not database.isdigit():
        raise ValueError("redis+sentinel:// ends with the number of the database: /service/0")
    # redis-py has no types for this class.
    make: Any = Sentinel
    asking = _options(tcp=True) | {
        "socket_timeout": _SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
    }
    sentinel = make(_nodes(hosts, _SENTINEL_PORT), sentinel_kwargs=asking)
    options = _login(login) | _options(tcp=True)
    primary: Redis = sentinel.master_for(service, db=int(database or 0), **options)
    return _packing(primary)


def _owner(url: str, key: str) -> Redis:
    """Read `redis+cluster://[user:password@]host:port,host:port`; any node will do, further ones are found by it."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    if not hosts or parts.path.strip("/") not in ("", "0") or parts.query:
        raise ValueError("redis+cluster:// is written redis+cluster://host:port,host:port; a cluster has one database")
    return _packing(
        Redis.from_pool(pool_to_owner(key, _nodes(hosts, _CLUSTER_PORT), _login(login) | _options(tcp=True)))
    )


def _login(text: str) -> dict[str, Any]:
    user, _, password = (unquote(part) for part in text.partition(":"))
    return {name: value for name, value in (("username", user), ("password", password)) if value}


def _nodes(hosts: str, port: int) -> list[tuple[str, int]]:
    return [_node(host, port) for host in hosts.split(",")]


def _node(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        return text.strip("[]"), default
    if not port.isdigit():
        raise ValueError("redis+sentinel:// or redis+cluster:// has a port that is no number")
    return host.strip("[]"), int(port)


def _options(*, tcp: bool) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 30,
        # A connection over a path has no keepalive to switch on.
        **({"socket_keepalive": True} if tcp else {}),
    }
