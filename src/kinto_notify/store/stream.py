"""The stream: reading entries, filing them, and trimming what everybody has read."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict, cast

from redis.exceptions import ResponseError

from kinto_notify.address import Mailbox
from kinto_notify.digest import DigestKey, Filing
from kinto_notify.store.client import Argument, Client, translated
from kinto_notify.store.connection import BLOCK_MS
from kinto_notify.timetable import Timetable
from kinto_notify.wire import FIELD_EVENT, FIELD_VERSION, GROUP

#: Another daemon's entries are taken over when it has not touched them for so long.
CLAIM_IDLE_MS = 60_000
#: What one read should bring. Redis counts entries, not bytes, so we go by the size of those before; where large ones
#: follow upon small ones, the most that comes is 128 entries of 256 KiB.
READ_BUDGET_BYTES = 4 * 1024 * 1024
MIN_COUNT, FEW, MAX_COUNT = 10, 16, 128
HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
#: A consumer that has not asked for so long is gone for good: a daemon asks every second.
_SILENT_MS = 86_400_000
#: How many entries one script removes or looks at (they may be 256 KiB each), so that it stays short; and how many
#: scripts follow each other.
_TRIMMED, _AUDITED = 1_000, 64
_MOST_SCRIPTS = 100
#: Nobody counts how often a stranded entry was handed out: it may be what ended its daemon, so it is handled alone.
_UNKNOWN_TIMES = 1_000_000

Fields = dict[bytes, bytes]
#: What XREADGROUP answers under protocol 2.
_Told = list[tuple[bytes, list[tuple[bytes, Fields]]]]


class _Pending(TypedDict):
    """One row of XPENDING."""

    message_id: bytes
    times_delivered: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was read: its stream id, its raw fields, how often it was handed out (told of pending ones)."""

    id: str
    fields: Fields
    delivered: int = 1

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return sum(map(len, self.fields.values()))

    @property
    def added(self) -> int:
        """When Redis took it, in milliseconds."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Filed:
    """An entry and where it goes. `hour` names the set of known ids that the event belongs to.

    `made`: when its change was captured, in milliseconds.
    """

    entry: str
    event: str
    hour: int
    made: int
    filings: tuple[Filing, ...]


@dataclass(frozen=True, slots=True)
class Poison:
    """An entry that cannot be read, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True, slots=True)
class FilingResult:
    """What a batch came to; `soonest` is in how many ms the first of its digests is due, -1 for none.

    `stranded` are those among the filed that were pending with nobody.
    """

    filed: int = 0
    known: int = 0
    gone: int = 0
    buried: int = 0
    soonest: int = -1
    stranded: int = 0


class Stream:
    """The stream of one namespace, read as consumer `name` of the group."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._count = MAX_COUNT
        #: Whether the last reading brought all that was asked for: there is more, most likely.
        self.plenty = False
        self._few, self._cursor = FEW, "0-0"

    async def ensure_group(self) -> None:
        """Make the group if it is not there; from the stream's beginning, so that nothing is skipped."""
        async with translated():
            try:
                await self._client.redis.xgroup_create(self._client.stream, GROUP, id="0", mkstream=True)
            except ResponseError as fault:
                if "BUSYGROUP" not in str(fault):
                    raise

    async def read(self, *, wait: bool = True) -> list[Entry]:
        """Read new entries; waits up to a second for the first if asked to. They are pending until they are filed."""
        found = await self._read(">", min(self._few, self._count), BLOCK_MS if wait else None)
        # Few first, since sessions may be idle and wait for what is filed of them; then twice as many each time.
        self._few = min(2 * self._few, MAX_COUNT) if self.plenty else FEW
        return found

    async def pending(self, after: str = "0") -> list[Entry]:
        """Read our own pending entries after a stream id: what an error or a crash left half-way."""
        return await self._counted(await self._read(after, self._count, None))

    async def _counted(self, entries: list[Entry]) -> list[Entry]:
        """Add how often each was delivered."""
        if not entries:
            return entries
        async with translated():
            told = await self._client.redis.xpending_range(
                self._client.stream, GROUP, entries[0].id, entries[-1].id, len(entries), self._name
            )
        counts = {one["message_id"].decode(): one["times_delivered"] for one in cast(list[_Pending], told)}
        return [Entry(one.id, one.fields, counts.get(one.id, 1)) for one in entries]

    async def _read(self, start: str, count: int, block: int | None) -> list[Entry]:
        async with translated():
            told = await self._client.redis.xreadgroup(
                GROUP, self._name, {self._client.stream: start}, count=count, block=block
            )
        # An entry that was trimmed while it was pending comes back without fields.
        entries = [Entry(key.decode(), fields or {}) for _, found in cast(_Told, told or []) for key, fields in found]
        self.plenty = len(entries) >= count
        if entries:
            average = max(1, sum(entry.size for entry in entries) // len(entries))
            self._count = max(MIN_COUNT, min(READ_BUDGET_BYTES // average, MAX_COUNT))
        return entries

    async def claim(self) -> list[Entry]:
        """Take over entries that another consumer left untouched for `CLAIM_IDLE_MS`; call again until it is empty.

        Those that were trimmed meanwhile come without fields, as from `pending`.
        """
        async with translated():
            told = await self._client.redis.xautoclaim(
                self._client.stream, GROUP, self._name, CLAIM_IDLE_MS, self._cursor, count=self._count
            )
        self._cursor = told[0].decode()
        if any(key is None for key, _ in told[1]):
            # Redis 6.2 does not say which ones were trimmed; they are ours now, and pending.
            return await self.pending()
        # Later ones do, and have let go of them.
        gone = [Entry(key.decode(), {}) for key in (told[2] if len(told) > 2 else ())]
        return gone + await self._counted([Entry(key.decode(), fields) for key, fields in told[1]])

    async def leave(self) -> None:
        """Remove this consumer from the group if nothing of it is pending: names must not pile up in Redis."""
        await self._client.run("leave", self._client.stream, [GROUP, self._name])

    async def sweep_consumers(self) -> int:
        """Remove consumers that have been silent for a day and have nothing pending; return how many."""
        async with translated():
            told = await self._client.redis.xinfo_consumers(self._client.stream, GROUP)
        silent = [one["name"].decode() for one in told if one["idle"] > _SILENT_MS and not one["pending"]]
        for name in (gone := [name for name in silent if name != self._name]):
            await self._client.run("leave", self._client.stream, [GROUP, name])
        return len(gone)

    async def position(self) -> str:
        """Return the id of the last entry that any daemon has read, `0-0` before the first; touches nothing."""
        async with translated():
            try:
                groups = await self._client.redis.xinfo_groups(self._client.stream)
            except ResponseError:
                return "0-0"
        return next((one["last-delivered-id"].decode() for one in groups if one["name"] == GROUP.encode()), "0-0")

    async def peek(self, after: str) -> list[Entry]:
        """Read entries after an id without taking them."""
        async with translated():
            told = await self._client.redis.xrange(self._client.stream, min=f"({after}", count=MIN_COUNT * 10)
        return [Entry(key.decode(), fields) for key, fields in cast(list[tuple[bytes, Fields]], told or [])]

    async def file(self, filed: Sequence[Filed], poison: Sequence[Poison]) -> FilingResult:
        """Acknowledge entries and add them to their digests, each whole or not at all; a known event id adds nothing.

        An entry that another daemon has filed, or that was removed from the stream, counts as `gone` and adds nothing.
        """
        if not filed and not poison:
            return FilingResult()
        timed = any(filing.rules.timetable is not None for one in filed for filing in one.filings)
        arguments = _arguments(self._client, filed, poison, await self._client.time() if timed else 0)
        told = await self._client.run("file", self._client.stream, [GROUP, *arguments])
        assert isinstance(told, list)
        return FilingResult(*(int(number) for number in told))

    async def forget(self, entries: Sequence[str]) -> None:
        """Acknowledge entries that are no longer in the stream."""
        async with translated():
            await self._client.redis.xack(self._client.stream, GROUP, *entries)

    async def now(self) -> int:
        """Return the time by which all is measured, in milliseconds."""
        return await self._client.time()

    async def trim(self, keep: int) -> int:
        """Remove filed entries that every other group has read and acknowledged too, or that are older than `keep` ms.

        Returns how many. What nobody has filed stays, whatever its age.
        """
        removed = 0
        for _ in range(_MOST_SCRIPTS):
            told = await self._client.run("trim", self._client.stream, [GROUP, keep, _TRIMMED])
            assert isinstance(told, int)
            removed += told
            if told < _TRIMMED:
                break
        return removed

    async def stranded(self) -> list[Entry]:
        """Find entries that were handed out, are pending with nobody and were not filed; touches nothing.

        That is what XGROUP DELCONSUMER leaves of a consumer's pending entries: no daemon would ever be given them
        again. They are filed like all others, by whoever comes first. Call again until it is empty.
        """
        for _ in range(_MOST_SCRIPTS):
            told = await self._client.run("audit", self._client.stream, [GROUP, _AUDITED])
            assert isinstance(told, list)
            if len(told) > 1 or not told[0]:
                found = ((key.decode(), dict(zip(flat[::2], flat[1::2], strict=True))) for key, flat in told[1:])
                return [Entry(key, fields, _UNKNOWN_TIMES) for key, fields in found]
        return []


def _arguments(client: Client, filed: Sequence[Filed], poison: Sequence[Poison], now: int) -> list[Argument]:
    """Lay out the flat sections that `file.lua` walks."""
    digests: dict[DigestKey, tuple[int, Filing]] = {}
    for one in filed:
        for filing in one.filings:
            number = digests[filing.key][0] if filing.key in digests else len(digests) + 1
            # Recipients and rules are those of the latest event.
            digests[filing.key] = (number, filing)
    flat: list[Argument] = [len(digests)]
    for key, (_, filing) in digests.items():
        flat += _digest(key, filing, now)
    flat.append(len(filed) + len(poison))
    for one in filed:
        flat += (one.entry, one.event, client.key(f"seen:{one.hour}"), one.made, len(one.filings))
        for filing in one.filings:
            flat += (digests[filing.key][0], len(filing.counts), *_pairs(filing.counts.items()))
            flat += (len(filing.lines), *filing.lines)
    for bad in poison:
        flat += (bad.entry.id, "", "", 0, -1, bad.reason)
        flat += (bad.entry.fields.get(FIELD_VERSION.encode(), b""), bad.entry.fields.get(FIELD_EVENT.encode(), b""))
    return flat


def _digest(key: DigestKey, filing: Filing, now: int) -> tuple[Argument, ...]:
    rules = filing.rules
    recipients, leaving = _boxes(filing.recipients), _boxes(filing.leaving) if filing.leaving else ""
    group = json.dumps(key.group, ensure_ascii=False)
    told = (key.id, key.identity, key.text, group, key.audience, recipients, leaving, key.pace)
    slots, closed = ("", "") if rules.timetable is None else _instants(rules.timetable, now // _MINUTE_MS * _MINUTE_MS)
    gathering = (rules.wait, rules.interval, rules.max_wait, rules.max_events or 0, rules.max_listed)
    return (*told, *gathering, slots, closed, int(rules.collapse))


def _boxes(boxes: Iterable[Mailbox]) -> str:
    return json.dumps([[box.name, box.address] for box in boxes], ensure_ascii=False)


@lru_cache(1_000)
def _instants(timetable: Timetable, now: int) -> tuple[str, str]:
    """Write a timetable's slots and closed periods from now on, as `due.lua` reads them; the same for a minute."""
    return " ".join(map(str, timetable.slots(now))), " ".join(map(str, timetable.closed(now)))


def _pairs(items: Iterable[tuple[str, int]]) -> Iterable[Argument]:
    for name, number in items:
        yield name
        yield number
