"""The setting `url`: one Redis server, the primary that a Sentinel names, or a cluster.

In: the URL. Out: a redis-py client that has not connected yet (a cluster's has). What is wrong with a URL is a
`ValueError` that never repeats it, since it may hold a password: also a piece of one that stands in the wrong place.
"""

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "redis+cluster://")
_CONNECT_SECONDS = 2.0
_SOCKET_SECONDS = 5.0
_SENTINEL_PORT, _CLUSTER_PORT = 26379, 6379


def check(url: str) -> None:
    """Raise `ValueError` for what `connect` could never use; nothing is sent."""
    if not url.startswith(SCHEMES):
        raise ValueError(f"must start with one of {', '.join(SCHEMES)}")
    try:
        if url.startswith("redis+sentinel://"):
            _sentinel_parts(url)
        elif url.startswith("redis+cluster://"):
            _cluster_parts(url)
        else:
            database = urlsplit(url).path.strip("/")
            if database and not database.isdecimal() and not url.startswith("unix://"):
                raise ValueError("database")  # redis-py would take database 0
            # Shows whether the query's options are known.
            redis.ConnectionPool.from_url(url).make_connection()
    except (ValueError, TypeError, redis.RedisError):
        raise ValueError(
            "is not a Redis URL such as redis://user:password@host:6379/0"
            " (in a password, write / as %2F, @ as %40, # as %23, : as %3A)"
        ) from None


def connect(url: str) -> Any:
    """Make a client for any of the URL forms of the contract."""
    # redis-py 8 would try a lost XADD again by itself, ten times: the outbox does that, and knows when to stop.
    options: dict[str, Any] = {
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_timeout": _SOCKET_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if url.startswith("redis+sentinel://"):
        return _sentinel(url, options)
    if url.startswith("redis+cluster://"):
        from redis.cluster import ClusterNode, RedisCluster

        nodes, login = _cluster_parts(url)
        options |= login
        # redis-py has no types for this class.
        make: Any = ClusterNode
        return RedisCluster(startup_nodes=[make(host, port) for host, port in nodes], **options)
    if url.startswith("unix://"):
        # A socket file has no connect timeout of its own.
        del options["socket_connect_timeout"]
    return redis.Redis.from_url(url, **options)


def _sentinel(url: str, options: dict[str, Any]) -> Any:
    from redis import sentinel as untyped

    nodes, service, database, login = _sentinel_parts(url)
    # redis-py has no types for this class.
    make: Any = untyped.Sentinel
    return make(nodes, **options).master_for(service, db=database, **login, **options)


def _sentinel_parts(url: str) -> tuple[list[tuple[str, int]], str, int, dict[str, str]]:
    """Read `redis+sentinel://[user:password@]host:port,host:port/service/db`."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not hosts or not service:
        raise ValueError("service")
    return _nodes(hosts, _SENTINEL_PORT), service, int(database or 0), _login(login)


def _cluster_parts(url: str) -> tuple[list[tuple[str, int]], dict[str, str]]:
    """Read `redis+cluster://[user:password@]host:port,host:port`; a cluster has one database."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    if not hosts or parts.path.strip("/") not in ("", "0") or parts.query:
        raise ValueError("cluster")
    return _nodes(hosts, _CLUSTER_PORT), _login(login)


def _nodes(hosts: str, default: int) -> list[tuple[str, int]]:
    nodes = []
    for host in hosts.split(","):
        name, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host, ""
        nodes.append((name.strip("[]"), int(port or default)))
    return nodes


def _login(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {key: value for key, value in named.items() if value}
