"""Kinto's side under load: an outbox in memory and the real near end of the stream."""

import threading
from types import TracebackType
from typing import Any, Self

from kinto_notify.errors import StoreUnavailable
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.stream import Stream
from support.events import fields


class Publisher:
    """Appends events one batch after another, in a thread; what Redis does not take is tried again, as the relay does.

    It rests for a few milliseconds between two batches, so that the load lasts.
    """

    def __init__(self, url: str, events: list[dict[str, Any]], *, batch: int = 5, rest: float = 0.02) -> None:
        self._stream = Stream(url, "kinto-notify", 3600)
        self._entries = [Entry(one["id"], fields(one)["event"].encode()) for one in events]
        self._batch, self._rest = batch, rest
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        #: How many are in the stream for sure.
        self.published = 0
        #: What Redis said when it took none.
        self.faults: list[str] = []

    def _run(self) -> None:
        while self.published < len(self._entries) and not self._end.wait(self._rest):
            self.published += self._append(self._entries[self.published : self.published + self._batch])

    def _append(self, entries: list[Entry]) -> int:
        try:
            self._stream.append(entries)
        except StoreUnavailable as fault:
            self.faults.append(str(fault))
            return 0
        return len(entries)

    def replay(self) -> None:
        """Publish all of it again, as `kinto-notify replay` does."""
        self._thread.join()
        for start in range(0, len(self._entries), 100):
            while not self._append(self._entries[start : start + 100]):
                pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._stream.close()
