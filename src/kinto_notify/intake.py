"""Intake: stream entry → validated event → filed under its digests.

In: entries of the stream (our own pending ones first, after every error; those of the dead; then new ones; now and then
those that are pending with nobody, since somebody deleted their consumer). Out: one atomic `file` per batch, while the
next one is read and sorted. A malformed one becomes a dead letter in it. `StoreUnavailable` leaves all pending.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from kinto_notify.catalogue import Catalogue
from kinto_notify.daily import Dailies, with_dailies
from kinto_notify.errors import MalformedEntry, StoreUnavailable
from kinto_notify.event import Event, parse_entry
from kinto_notify.filing import Tell, file_event
from kinto_notify.hook_book import Remark
from kinto_notify.in_flight import InFlight
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import RefusedByRedis
from kinto_notify.store.preferences import Preferences
from kinto_notify.store.remarks import Remarks
from kinto_notify.store.stream import HOUR_MS, Entry, Filed, FilingResult, Poison, Stream
from kinto_notify.telemetry import Telemetry

#: An entry that was handed out so often is handled alone: perhaps it is what ended the daemons that held it.
WORN_DELIVERIES = 5
#: One that ended so many daemons while it was handled alone is buried. Faults of Redis never count: they do not end us.
FATAL_TIMES = 3
#: Redis must turn too: no batch takes longer to sort, nor holds more bytes of lines, than one entry more than this. A
#: plural delete of thousands of objects with many subscriptions would take seconds and 50 MB.
BATCH_S = 0.1
BATCH_BYTES = 1024 * 1024
#: So long the loop may be kept from its other work between two entries.
TURN_S = 0.002
#: How often we look for entries of daemons that died, and trim what everybody has read and look for what is stranded.
CLAIM_EVERY_S = 15.0
TIDY_EVERY_S = 5.0
LOOK_EVERY_S = 0.5
#: Stands in an entry that was a dead letter (`revive.lua`).
AGAIN = b"again"
#: What is filed stands in Redis twice until the stream is trimmed: in seconds that would be tens of megabytes.
#: Nor is more read beside a heavy batch, whose own memory is what counts then.
MOST_UNTRIMMED_BYTES, HEAVY_BYTES = 4 * 1024 * 1024, 256 * 1024
#: Days are measured: by what was said of the time so long ago.
ASK_EVERY_S = 60.0
TOO_OLD_MS = 7 * 86_400_000
TOO_OLD = "too old to be news when it came: 'kinto-notify dead-letters retry' mails it all the same"


class Intake:
    """The room that reads. `due` is told in how many ms the soonest digest that a batch touched is due.
    `switched_off` hears of each hook that is not asked any more; `remarks` keep what was refused of hooks.
    """

    def __init__(
        self,
        stream: Stream,
        alone: Alone,
        catalogue: Callable[[], Catalogue],
        telemetry: Telemetry,
        *,
        keep_ms: int,
        too_old_ms: int = TOO_OLD_MS,
        due: Callable[[int], None],
        switched_off: Callable[[str], None] = lambda identity: None,
        remarks: Remarks | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        self._stream = stream
        self._alone = alone
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._keep_ms = keep_ms
        self._too_old_ms = too_old_ms
        #: What was captured before this (ms) is not news any more.
        self._since = 0
        self._due = due
        self._switched_off = switched_off
        self._remarks = remarks
        self._preferences = preferences
        self._dailies: Dailies = {}
        self._dailies_mark = ""
        self._unnoted: list[Remark] = []
        # Read, and not filed yet.
        self._read: deque[Entry] = deque()
        self._filing = InFlight()
        # What an error left half-way is pending and ours: until that is done nothing new is read.
        self._recovering = True
        self._next_question = self._next_look = self._next_claim = 0.0
        self._next_tidying, self._untrimmed, self._weight = 0.0, 0, 0

    async def step(self) -> None:
        """Read and file one batch; waits about a second for new entries when there is nothing to do."""
        await self.work(wait=True)

    async def work(self, *, wait: bool) -> int:
        """File a batch of what was read, reading first if nothing is left of it; return how many entries it met."""
        try:
            lost = 0
            if not self._read:
                lost = await self._receive(await self._next(wait=wait and not self._filing))
            await self._look_at_wishes()
            await self._look_at_time()
            filed = await self._file_some()
            if not self._stream.plenty or self._weight > HEAVY_BYTES:
                await self._filing.ended()
            found = await self._tidy()
        except BaseException:
            # What is in hand is pending too.
            self._read.clear()
            self._recovering = True
            await self._filing.give_up()
            raise
        return lost + filed + found

    async def finish(self) -> None:
        """File what was read already, and read no more."""
        while self._read:
            await self._file_some()
        await self._filing.ended()

    async def _look_at_wishes(self) -> None:
        """Learn who wants one mail a day; a second is soon enough, and `fan_out` looks at the rest."""
        if self._preferences is None or time.monotonic() < self._next_look:
            return
        if (found := await self._preferences.dailies(self._dailies_mark)) is not None:
            self._dailies_mark, self._dailies = found
        self._next_look = time.monotonic() + LOOK_EVERY_S

    async def _look_at_time(self) -> None:
        if time.monotonic() >= self._next_question:
            self._since = await self._stream.now() - self._too_old_ms
            self._next_question = time.monotonic() + ASK_EVERY_S

    async def _receive(self, entries: Sequence[Entry]) -> int:
        """Take entries in hand; return how many were lost: trimmed by somebody else, they come without fields."""
        lost = [entry.id for entry in entries if not entry.fields]
        self._read.extend(entry for entry in entries if entry.fields)
        if lost:
            self._telemetry.entries_lost(lost)
            await self._stream.forget(lost)
        return len(lost)

    async def _file_some(self) -> int:
        """File from the front of what is in hand, as much as may be at once; return how many entries it were."""
        filed: list[Filed] = []
        poison: list[Poison] = []
        taken: list[Entry] = []
        size, turn = 0, time.monotonic()
        until = turn + BATCH_S
        while self._read and (not taken or (time.monotonic() < until and size < BATCH_BYTES)):
            if time.monotonic() >= turn + TURN_S:
                # Sessions wait for their next message.
                await asyncio.sleep(0)
                turn = time.monotonic()
            if self._read[0].delivered > WORN_DELIVERIES:
                if not taken:
                    await self._filing.ended()
                    await self._file_alone(self._read[0])
                    self._read.popleft()
                    return 1
                break
            taken.append(self._read.popleft())
            good, bad = self._sort(taken[-1:])
            filed += good
            poison += bad
            size += sum(len(line) for one in good for filing in one.filings for line in filing.lines)
        self._weight = sum(entry.size for entry in taken)
        self._untrimmed += self._weight
        if taken:
            # While Redis is at it we read and sort the next ones.
            await self._filing.start(self._file(taken, filed, poison))
        await self._tell_of_hooks()
        return len(taken)

    def _sort(self, entries: Sequence[Entry]) -> tuple[list[Filed], list[Poison]]:
        return sort(entries, self._catalogue(), dailies=self._dailies, since=self._since)

    async def _tell_of_hooks(self) -> None:
        for remark in self._catalogue().hooks.remarks():
            self._telemetry.remark(remark.identity, remark.kind, remark.detail)
            self._unnoted.append(remark)
            if remark.kind == "switched_off":
                self._switched_off(remark.identity)
        if self._remarks is not None:
            # Where Redis goes away just now, the next time.
            await self._remarks.note(self._unnoted)
        self._unnoted = []

    async def _next(self, *, wait: bool) -> list[Entry]:
        if self._recovering:
            await self._stream.ensure_group()
            entries = await self._stream.pending()
            if entries:
                return entries
            self._recovering = False
        if time.monotonic() >= self._next_claim:
            entries = await self._stream.claim()
            if entries:
                return entries
            self._next_claim = time.monotonic() + CLAIM_EVERY_S
        return await self._stream.read(wait=wait)

    async def _file_alone(self, entry: Entry) -> None:
        times = await self._alone.begin(entry.id)
        try:
            if times > FATAL_TIMES:
                poison = [Poison(entry, f"ended the daemon {FATAL_TIMES} times while it was handled alone")]
                self._tell(await self._stream.file((), poison), poison)
            else:
                await self._file([entry], *self._sort([entry]))
        except StoreUnavailable:
            with contextlib.suppress(StoreUnavailable):
                await self._alone.end(entry.id)
            raise
        await self._alone.end(entry.id)

    async def _file(self, entries: Sequence[Entry], filed: Sequence[Filed], poison: Sequence[Poison]) -> None:
        try:
            result = await self._stream.file(filed, poison)
        except RefusedByRedis:
            if len(entries) > 1:
                # One of them is too much for Redis: alone, the others go through.
                for entry in entries:
                    await self._file([entry], *self._sort([entry]))
                return
            poison = [Poison(entry, "Redis refuses to file it") for entry in entries]
            result = await self._stream.file((), poison)
        self._tell(result, poison)

    def _tell(self, result: FilingResult, poison: Sequence[Poison]) -> None:
        self._telemetry.filed(result.filed, result.known, result.buried)
        if result.stranded:
            self._telemetry.entries_stranded(result.stranded)
        for bad in poison:
            self._telemetry.poison(bad.entry.id, bad.reason)
        if result.soonest >= 0:
            self._due(result.soonest)

    async def _tidy(self) -> int:
        """Trim what everybody has read, and take in hand what is pending with nobody; return how many that were."""
        if (late := time.monotonic() >= self._next_tidying) or self._untrimmed >= MOST_UNTRIMMED_BYTES:
            self._untrimmed = 0
            await self._stream.trim(self._keep_ms)
        if not late:
            return 0
        stranded = await self._stream.stranded()
        self._read.extend(stranded)
        # Where there is one there may be more, as soon as these are filed.
        self._next_tidying = 0.0 if stranded else time.monotonic() + TIDY_EVERY_S
        return len(stranded)


def sort(
    entries: Sequence[Entry],
    catalogue: Catalogue,
    tell: Tell | None = None,
    dailies: Dailies | None = None,
    since: int = 0,
) -> tuple[list[Filed], list[Poison]]:
    """Decide for each entry where it goes, or why it can't go anywhere. Pure, but for `tell` (see `file_event`).

    What was captured before `since` (ms) goes nowhere, unless somebody wants it tried again.
    """
    filed: list[Filed] = []
    poison: list[Poison] = []
    for entry in entries:
        try:
            event = parse_entry(entry.fields)
            made = _made(event, entry)
            if 0 < made < since and AGAIN not in entry.fields:
                poison.append(Poison(entry, TOO_OLD))
                continue
            filings = file_event(
                event, catalogue.subscriptions_of(event), catalogue.allows, tell or catalogue.hooks.tell
            )
            # No change can be younger than its entry: the clocks of two hosts differ.
            told = tuple(with_dailies(filings, dailies or {}))
            filed.append(Filed(entry.id, event.id, made // HOUR_MS, min(made, entry.added), told))
        except MalformedEntry as fault:
            poison.append(Poison(entry, str(fault)))
        except Exception as fault:  # noqa: BLE001 - a poison event: whatever it raises, the others must go on
            # The type only: the text of an unforeseen error may hold the record's content.
            poison.append(Poison(entry, f"cannot be handled: {type(fault).__name__}"))
    return filed, poison


def _made(event: Event, entry: Entry) -> int:
    """Return the time (ms) that a repeated event names again: that of its id, else its own, else its arrival's."""
    stamp = event.made
    if stamp is None:
        try:
            stamp = int(datetime.fromisoformat(event.time).timestamp() * 1000)
        except (ValueError, OverflowError):
            stamp = entry.added
    return stamp
