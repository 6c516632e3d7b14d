"""One namespace of one Redis: its keys, its scripts, and two kinds of error: "not now" and "never".

In: scripts and commands of the rooms next door. Out: raw answers, or `StoreUnavailable` (the same call may succeed
later; all our scripts may be repeated) or `RefusedByRedis`.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from importlib.resources import files
from typing import cast

from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from kinto_notify.errors import ConfigError, KintoNotifyError, StoreUnavailable
from kinto_notify.store.connection import connect, disconnect
from kinto_notify.wire import check_namespace, events_key

#: XAUTOCLAIM came with Redis 6.2; Valkey tells a Redis version too.
REDIS_FLOOR = (6, 2)

#: How a script names a fragment that it includes.
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)
Argument = str | bytes | int | float
#: What a Lua script returns, as redis-py reads it.
Answer = object

#: Replies that mean "not now" and that redis-py has a class for (their first word is cut off then).
_PASSING_KINDS = (
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.NoPermissionError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
    exceptions.AskError,
    exceptions.ExecAbortError,
)
#: How a script is told that its user has no right to a command: since Redis 7, and before.
_NO_RIGHT = ("ACL failure", "The user executing the script")
#: The same where it has none: out of memory, disk full, a failover, a busy script, a server that loads its data.
_PASSING = (
    "OOM",
    "MISCONF",
    "READONLY",
    "LOADING",
    "NOREPLICAS",
    "UNBLOCKED",
    "NOGROUP",
    "BUSY",
    "NOAUTH",
    "WRONGPASS",
    # The stream went away between two commands (FLUSHALL); its group is made again.
    "no such key",
    # A script met a slot that is moving, in spite of its last key.
    "non local key",
    # A right that our user lost while we ran.
    *_NO_RIGHT,
)
_PASSING_WORD = re.compile(rf"\b(?:{'|'.join(_PASSING)})\b")


class RefusedByRedis(KintoNotifyError):
    """Redis will never take this command as it is."""


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn redis-py's errors into `StoreUnavailable` where they may pass, else into `RefusedByRedis`."""
    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as fault:
        raise StoreUnavailable(f"Redis: {_plain(fault)}") from fault
    except exceptions.ResponseError as fault:
        # A script's error is told as "ERR ... script: ...: OOM command not allowed", older ones with a leading "-".
        if isinstance(fault, _PASSING_KINDS) or _passing(str(fault)):
            raise StoreUnavailable(f"Redis: {_plain(fault)}") from fault
        raise RefusedByRedis(_plain(fault)) from fault


def _passing(text: str) -> bool:
    # Anywhere: Redis 6.2 tells of a script's error at the end of its own.
    return _PASSING_WORD.search(text) is not None


def _plain(fault: BaseException) -> str:
    told = " ".join(str(fault).split())[:300]
    if isinstance(fault, MasterNotFoundError):
        # What follows is the inside of redis-py's client.
        told = told.partition(" : <")[0]
    if isinstance(fault, exceptions.MovedError):
        return "this is a node of a cluster and does not have our slot; redis+cluster:// finds the one that does"
    if isinstance(fault, exceptions.AskError | exceptions.TryAgainError):
        return "the slot of our namespace is moving to another node of the cluster"
    word = "out of memory: " if isinstance(fault, exceptions.OutOfMemoryError) else ""
    return word + told if told else type(fault).__name__


def script_text(script: str) -> str:
    """Return a script as Redis gets it: with the fragments that it includes."""
    text = files(__package__).joinpath(f"{script}.lua").read_text("utf-8")
    return _INCLUDE.sub(lambda found: script_text(found[1]), text)


class Client:
    """One namespace of one Redis. Scripts run by their content's hash, so that two versions can run side by side."""

    def __init__(self, url: str, namespace: str) -> None:
        try:
            check_namespace(namespace)
            self.redis = connect(url, events_key(namespace))
        except ValueError as fault:
            raise ConfigError(f"KINTO_NOTIFY_REDIS_URL or _NAMESPACE: {fault}") from None
        self.prefix = f"{{{namespace}}}"
        self.stream = events_key(namespace)
        self._scripts: dict[str, tuple[str, str]] = {}
        self._permitted = False

    def key(self, name: str) -> str:
        """Name a key of this namespace."""
        return f"{self.prefix}:{name}"

    async def run(self, script: str, key: str, arguments: Sequence[Argument], *foreign: str) -> Answer:
        """Run `<script>.lua` on one key (all others share its slot, but for `foreign` ones, which no Cluster would
        take); `StoreUnavailable` as `translated`.

        None is run before our user is known to have the rights to all of its commands: it would end half-way. So would
        one in a slot that is just moving to another node of a cluster, at the first key that has gone or is new. With
        the last key that we name, which never is anywhere, Redis refuses it then before it begins.
        """
        if not self._permitted:
            if missing := await self.missing_rights():
                raise StoreUnavailable(f"Redis: our user has no right to {', '.join(missing)}")
            self._permitted = True
        try:
            return await self._run(script, (key, *foreign, self.key("none")), arguments)
        except StoreUnavailable as fault:
            # A server that comes back may have other rights for us.
            self._permitted = False
            if isinstance(fault.__cause__, exceptions.ReadOnlyError) or "READONLY" in str(fault):
                # A fail-over: the name means another server now, but this one keeps its connections open.
                await self.redis.connection_pool.disconnect(inuse_connections=False)
            raise

    async def missing_rights(self) -> list[str]:
        """Return the commands of our scripts that our user has no right to."""
        told = await self._run("rights", (self.key("none"),), ())
        assert isinstance(told, list)
        return [name.decode() for name in told]

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Answer:
        if script not in self._scripts:
            text = script_text(script)
            self._scripts[script] = (text, sha1(text.encode()).hexdigest())  # noqa: S324 - Redis names scripts so
        text, digest = self._scripts[script]
        async with translated():
            try:
                answer: Answer = await self.redis.evalsha(digest, len(keys), *keys, self.prefix, *arguments)
            except exceptions.NoScriptError:
                # Redis restarted or was flushed: EVAL loads it again.
                answer = await self.redis.eval(text, len(keys), *keys, self.prefix, *arguments)
        return answer

    async def hash(self, name: str) -> dict[str, bytes]:
        """Return a hash of this namespace, empty if there is none."""
        async with translated():
            told = await self.redis.hgetall(self.key(name))
        # redis-py's types allow for decoded text, which our connection never asks for; so in the two below.
        return {field.decode(): value for field, value in cast(dict[bytes, bytes], told).items()}

    async def field(self, name: str, field: str) -> bytes | None:
        """Return one field of a hash, or None."""
        async with translated():
            return cast(bytes | None, await self.redis.hget(self.key(name), field))

    async def hashes(self, kind: str, idents: Sequence[str], fields: Sequence[str]) -> list[dict[str, bytes]]:
        """Return these fields of the hashes `<kind>:<ident>`, in one round trip; without those that are not there."""
        async with translated():
            pipe = self.redis.pipeline(transaction=False)
            for ident in idents:
                pipe.hmget(self.key(f"{kind}:{ident}"), list(fields))
            told = cast(list[list[bytes | None]], await pipe.execute())
        return [{field: one for field, one in zip(fields, row, strict=True) if one is not None} for row in told]

    async def items(self, name: str) -> list[bytes]:
        """Return a list of this namespace, empty if there is none."""
        async with translated():
            return cast(list[bytes], await self.redis.lrange(self.key(name), 0, -1))

    async def newest(self, name: str, start: int, stop: int) -> list[str]:
        """Return members of a sorted set by rank, the highest score first; `stop` is not among them."""
        async with translated():
            told = await self.redis.zrevrange(self.key(name), start, stop - 1)
        return [member.decode() for member in cast(list[bytes], told)]

    async def time(self) -> int:
        """Return Redis `TIME` in milliseconds: the only clock that two hosts compare."""
        async with translated():
            seconds, micros = await self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        """Close all connections."""
        await disconnect(self.redis)
