"""The outbox of Kintos without PostgreSQL: this process's spool, and memory for when the disk lets us down.

In: the three steps of a transaction, from request threads. Out: to the relay thread, committed entries in order.
Nothing here raises towards a request: a fault is logged, counted, and the entries are held in memory for the relay to
retry. Only the relay's side reads, turns over and ends files; its `OSError` is for the relay to tell.
"""

import contextlib
import errno
import logging
import os
import time
from collections.abc import Sequence

from kinto_notify.outbox.brief import marked
from kinto_notify.outbox.contents import Depth
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.process import WRITTEN, File, Process, Receipt
from kinto_notify.outbox.progress import Progress
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool import Spool, SpoolFull, now_ms
from kinto_notify.outbox.spool_reader import Waiting
from kinto_notify.outbox.survey import first_row

logger = logging.getLogger(__name__)

#: A new file is begun at this size: what was published is deleted by the file.
MAX_FILE_BYTES = 32 * 1024 * 1024
#: ... but while so many wait for the relay, they grow instead: each holds a descriptor, of which Kinto needs some too.
_MAX_FILES = 32
#: ... and so often in a retention, but not in fewer seconds: the daemon knows ids two hours longer than the retention.
_FILES_A_RETENTION, _MIN_FILE_SECONDS = 24, 60
#: A spool that could not be opened is tried again after this many seconds, not by every request.
_REOPEN_SECONDS = 1.0
_TELL_SECONDS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class SpoolOutbox:
    """The outbox over a spool directory; one object serves all processes forked from the one that made it.

    `external`: another process reads the files.
    """

    def __init__(
        self, directory: SpoolDirectory, counters: Counters, *, durable: bool = False, external: bool = False
    ) -> None:
        self.directory = directory
        self._counters = counters
        self._durable = durable
        self._external = external
        self._processes: dict[int, Process] = {}
        self._tell_after = 0.0

    # --- the transaction's side --------------------------------------------------------------------------------

    def prepare(self, entries: Sequence[Entry], probe: str, *, final: bool = False) -> Receipt:
        """Write entries down; in memory only, where the disk fails. `final`: they are as good as committed."""
        here = self._here()
        while True:
            try:
                spool = here.spool
                if spool is None or spool.full:
                    spool = self._spool(here)
                ticket = spool.prepare(entries, probe, final=final)
                return WRITTEN if final else Receipt(tuple(entries), spool, ticket)
            except SpoolFull:
                # Since we asked for it.
                continue
            except OSError as error:
                self._failed("keep an event", error)
                return Receipt(tuple(entries))

    def commit(self, receipt: Receipt) -> None:
        """Let the entries go out."""
        if receipt.spool is None:
            self._hold(receipt.entries)
        else:
            self._decide(receipt, committed=True)

    def abort(self, receipt: Receipt) -> None:
        """Forget the entries."""
        if receipt.spool is not None:
            self._decide(receipt, committed=False)

    def doubt(self, receipt: Receipt) -> None:
        """Let the entries go out, marked: nobody knows whether they were committed."""
        if receipt.spool is not None:
            self._decide(receipt, committed=None)
        else:
            self._hold([marked(entry) for entry in receipt.entries])

    def _decide(self, receipt: Receipt, *, committed: bool | None) -> None:
        spool, ticket = receipt.spool, receipt.ticket
        if spool is None or ticket is None:
            return
        try:
            {True: spool.commit, False: spool.abort, None: spool.doubt}[committed](ticket)
        except OSError as error:
            self._failed("note a rollback" if committed is False else "note a commit", error)
            if not spool.closed:
                self._here().undecided.append((receipt, committed))
            elif committed is not False:
                self._hold(receipt.entries if committed else [marked(entry) for entry in receipt.entries])

    # --- the relay's side --------------------------------------------------------------------------------------

    def retry(self) -> None:
        """Write again what could not be written before; begin a new file where the old one was taken away."""
        here = self._here()
        for _ in range(len(here.undecided)):
            receipt, committed = here.undecided.popleft()
            self._decide(receipt, committed=committed)
        spool = here.spool
        if spool is not None and not spool.full and (what := _happened_to(spool)):
            self._replace(spool, what)
        for entry in here.held():
            try:
                self._spool(here).prepare((entry,), final=True)
            except OSError as error:
                if error.errno in _FULL:
                    self._make_room()
                return
            here.release()

    def waiting(self, rows: int, size: int) -> list[Waiting]:
        """Return the oldest committed entries; where the disk fails, those in memory."""
        here = self._here()
        for file in list(here.files):
            # Asked first: what is written after this is found by the next reading.
            ended = file.spool.full and file.spool.idle()
            if not file.spool.full and file.reader.done(file.spool.end):
                break
            found = file.reader.waiting(rows, size)
            self._tell_damage(file)
            if found:
                return found
            if ended and file.reader.settled():
                self._end(here, file)
            elif file.reader.holding_back():
                return []
        return [Waiting(-1, entry) for entry in here.held()[:rows]]

    def published(self, waiting: Sequence[Waiting]) -> None:
        """Mark what `waiting` returned as published."""
        source = waiting[0].source
        if source is not None:
            source.published(waiting)
            return
        for _ in waiting:
            self._here().release()

    def depth(self) -> Depth:
        """Count what waits here, in the spool and in memory."""
        here = self._here()
        files = list(here.files)
        depth = Depth()
        if files and not self._external:
            depth = files[0].reader.depth(files[0].spool.last)
        elif files:
            depth = _depth_beside_a_relay(files[0].spool)
        return Depth(depth.rows + sum(file.spool.last for file in files[1:]) + len(here.held()), depth.age)

    def upkeep(self, retention: int) -> None:
        """Begin a new file where the old one is long or old; drop what is kept no longer."""
        here = self._here()
        spool = here.spool
        if spool is not None and spool.last and not spool.full:
            age = time.monotonic() - spool.made
            long = spool.end >= MAX_FILE_BYTES
            old = age >= max(_MIN_FILE_SECONDS, retention / _FILES_A_RETENTION)
            if (long or old) and len(here.files) < _MAX_FILES:
                here.turn_over()
        if self._external:
            self._leave(here)
        self.directory.purge(retention)

    def close(self) -> None:
        """At the end of the process: leave no file behind that holds nothing.

        A request that is later than this begins another file, which is an orphan as soon as the process has ended.
        """
        here = self._here()
        here.turn_over()
        for file in list(here.files):
            with contextlib.suppress(OSError):
                full = file.spool.full and file.spool.idle()
                if full and not self._external and file.reader.settled():
                    self._end(here, file)
        self._leave(here)

    # --- inside ------------------------------------------------------------------------------------------------

    def _here(self) -> Process:
        pid = os.getpid()
        here = self._processes.get(pid)
        return self._begun(pid) if here is None else here

    def _begun(self, pid: int) -> Process:
        """Make this process's own. Several threads may come here first: each step is one for the interpreter."""
        here = self._processes.setdefault(pid, Process())
        for other in list(self._processes):
            parent = self._processes.pop(other, None) if other != pid else None
            if parent is not None:
                parent.disown()
        return here

    def _spool(self, here: Process) -> Spool:
        spool = here.spool
        if spool is not None and not spool.full:
            return spool
        with here.lock:
            if here.spool is None or here.spool.full:
                if time.monotonic() < here.closed_until:
                    raise OSError("the spool could not be opened a moment ago")
                here.closed_until = time.monotonic() + _REOPEN_SECONDS
                spool = Spool(self.directory.new(), durable=self._durable)
                here.files.append(File(spool))
                here.spool = spool
                here.closed_until = 0.0
            return here.spool

    def _end(self, here: Process, file: File) -> None:
        """Set a file aside that is read to its end, or remove it."""
        here.files.remove(file)
        kept, damaged = file.reader.kept, file.reader.damage
        file.close()
        if damaged:
            self.directory.quarantine(file.spool.claim)
        elif kept:
            self.directory.retire(file.spool.claim)
        else:
            self.directory.remove(file.spool.claim)

    def _leave(self, here: Process) -> None:
        """Leave files that are written to no more to whoever finds them."""
        for file in list(here.files):
            if file.spool.full and file.spool.idle():
                here.files.remove(file)
                file.close()
                file.spool.claim.release()

    def _tell_damage(self, file: File) -> None:
        if file.reader.damage != file.told:
            file.told = file.reader.damage
            self._replace(file.spool, f"is damaged: {file.told}")

    def _replace(self, spool: Spool, what: str) -> None:
        spool.finish()
        self._counters.count("spool_replaced")
        logger.critical("kinto-notify: spool %s %s; what it holds goes out, a new one is used", spool.claim.path, what)

    def _make_room(self) -> None:
        """On a full disk: what is published and only kept goes before what is in memory is lost. A file at a time."""
        given_up = self.directory.make_room()
        if given_up is not None:
            logger.critical("kinto-notify: the disk is full: %s, kept for replay, is deleted before its time", given_up)

    def _hold(self, entries: Sequence[Entry]) -> None:
        for entry in self._here().hold(entries):
            self._counters.count("events_lost")
            logger.critical("kinto-notify: event %s is lost: neither disk nor memory has room", entry.id)

    def _failed(self, what: str, error: BaseException) -> None:
        self._counters.count("spool_faults")
        # The counter has them all; a full disk must not fill the log as well.
        if time.monotonic() < self._tell_after:
            return
        self._tell_after = time.monotonic() + _TELL_SECONDS
        logger.critical("kinto-notify could not %s on disk, it is held in memory: %s", what, error)


def _happened_to(spool: Spool) -> str:
    """Tell what became of the file that we write to; nothing if all is well."""
    before = spool.end
    try:
        now = spool.claim.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is gone"
    if now.st_ino != os.fstat(spool.claim.descriptor).st_ino:
        return "is another file now"
    return "was cut short" if now.st_size < before else ""


def _depth_beside_a_relay(spool: Spool) -> Depth:
    first = first_row(spool.claim.descriptor, Progress(spool.claim.path, marks=False).offset)
    if first is None:
        return Depth()
    return Depth(spool.last - first.first + 1, max(0.0, (now_ms() - first.at) / 1000))
