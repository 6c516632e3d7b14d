"""What is where: the numbers of a namespace, and what is wrong with the server it lives on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from kinto_notify.notice import Outage
from kinto_notify.pressure import Load, load
from kinto_notify.store.circuits import Circuits
from kinto_notify.store.client import REDIS_FLOOR, Client, translated
from kinto_notify.store.pauses import PARKED_MS, Pauses
from kinto_notify.wire import GROUP


@dataclass(frozen=True, slots=True)
class Overview:
    """Numbers at one moment. `lag` is how many entries nobody has read, None where the server can't tell.

    `open_digests` has those in it that are due or paused. `paused` are the paused subscriptions (`*`: all) and since
    when, in milliseconds. `outages` are relays that a daemon cannot use now. `load` is how full Redis is.
    """

    stream: int
    pending: int
    lag: int | None
    open_digests: int
    due_digests: int
    paused_digests: int
    frozen_digests: int
    deliveries: int
    due_deliveries: int
    dead_letters: int
    totals: dict[str, int]
    paused: Mapping[str, int]
    outages: tuple[Outage, ...]
    load: Load

    def numbers(self) -> dict[str, int]:
        """Return what waits, by kind."""
        return {
            "stream": self.stream,
            "pending": self.pending,
            "lag": self.lag or 0,
            "open_digests": self.open_digests,
            "due_digests": self.due_digests,
            "paused_digests": self.paused_digests,
            "frozen_digests": self.frozen_digests,
            "deliveries": self.deliveries,
            "due_deliveries": self.due_deliveries,
            "dead_letters": self.dead_letters,
        }


async def overview(client: Client) -> Overview:
    """Take the numbers; `StoreUnavailable` if Redis does not answer."""
    now = await client.time()
    async with translated():
        pipe = client.redis.pipeline(transaction=False)
        pipe.xlen(client.stream)
        pipe.zcard(client.key("due"))
        pipe.zcount(client.key("due"), "-inf", now)
        pipe.zcount(client.key("due"), PARKED_MS, "+inf")
        pipe.zcard(client.key("frozen"))
        pipe.zcard(client.key("deliveries"))
        pipe.zcount(client.key("deliveries"), "-inf", now)
        pipe.zcard(client.key("dead"))
        pipe.zcard(client.key("filed"))
        pipe.info("memory")
        *counts, memory = await pipe.execute()
        stream, opened, ripe, parked, frozen, deliveries, due, dead, filed = cast(list[int], counts)
        groups = await client.redis.xinfo_groups(client.stream) if stream else []
    # Before any daemon ran there is no group, and all is unread.
    pending, lag = 0, cast(int | None, stream)
    for group in cast(list[dict[str, object]], groups):
        if group["name"] == GROUP.encode():
            pending = _number(group["pending"]) or 0
            lag = _number(group.get("lag"))
    totals = {name: int(value) for name, value in (await client.hash("totals")).items()}
    paused = await Pauses(client).all()
    outages = tuple(one for one in (await Circuits(client).all(now)).values() if one.closed is None)
    counted = (stream, pending, lag, opened, ripe, parked, frozen, deliveries, due, dead)
    return Overview(*counted, totals, paused, outages, load(memory, stream, filed))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class Examination:
    """What a server says of itself: `fatal` ones must be mended first, `doubts` are worth a warning."""

    version: str
    fatal: tuple[str, ...]
    doubts: tuple[str, ...]


async def examine(client: Client) -> Examination:
    """Look at version, eviction policy and persistence; `StoreUnavailable` if Redis does not answer."""
    async with translated():
        return judge(cast(dict[str, object], await client.redis.info()))


def judge(info: Mapping[str, object]) -> Examination:
    """Decide what is wrong with a server by what its INFO says. Pure."""
    version = str(info.get("redis_version", "0"))
    shown = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    fatal: list[str] = []
    doubts: list[str] = []
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < REDIS_FLOOR:
        fatal.append(f"{shown} is too old: 6.2 or later is needed (XAUTOCLAIM)")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: events may be evicted unread; set it to noeviction"
        # Only where a limit is set can anything be evicted.
        (fatal if info.get("maxmemory") else doubts).append(text)
    if not info.get("aof_enabled"):
        doubts.append("appendonly is off: a restart of Redis loses what was filed since its last snapshot")
    if info.get("role") == "slave":
        doubts.append("this server is a replica: it takes no writes")
    return Examination(shown, tuple(fatal), tuple(doubts))
