"""Whether the stream may take more: asked of Redis, at most once a second or for each full batch.

In: a client of the server that has the stream, and what was appended. Out: nothing while there is room; `StreamHeld`
while there is not. A server that does not tell us, for want of a right, is never held for it; that is said once.
"""

import logging
import time
from typing import Any

from redis import exceptions

from kinto_notify import wire
from kinto_notify.errors import StreamHeld
from kinto_notify.pressure import Admission, Load, admit, load, rest

logger = logging.getLogger(__name__)

#: What may be appended between two questions, each of which costs Redis some 30 µs: as much as one batch.
_ASK_SECONDS = 1.0
_ASK_ROWS = 100
_ASK_BYTES = 1024 * 1024


class Gate:
    """The admission of one relay to one stream."""

    def __init__(self, namespace: str) -> None:
        self._stream = wire.events_key(namespace)
        self._filed = wire.filed_key(namespace)
        self._admission = Admission.OPEN
        self._asked = 0.0
        self._rows = self._bytes = 0
        self._blind = False
        #: The seconds to rest between two batches.
        self.rest = 0.0

    def pass_through(self, client: Any) -> None:
        """Return if entries may be appended now, else raise `StreamHeld`; redis-py's errors are the caller's."""
        due = time.monotonic() - self._asked >= _ASK_SECONDS
        if not due and self._rows < _ASK_ROWS and self._bytes < _ASK_BYTES and self._admission is not Admission.HELD:
            return
        found = self._ask(client)
        self._asked, self._rows, self._bytes = time.monotonic(), 0, 0
        self._admission = admit(self._admission, found.level)
        self.rest = rest(found.level)
        if self._admission is Admission.HELD:
            raise StreamHeld(str(found))

    def appended(self, rows: int, size: int) -> None:
        """Note what went through."""
        self._rows += rows
        self._bytes += size

    def _ask(self, client: Any) -> Load:
        pipe = client.pipeline(transaction=False)
        pipe.info("memory")
        pipe.xlen(self._stream)
        pipe.zcard(self._filed)
        memory, length, filed = pipe.execute(raise_on_error=False)
        for answer in (memory, length, filed):
            if isinstance(answer, exceptions.NoPermissionError):
                self._tell(answer)
            elif isinstance(answer, Exception):
                raise answer
        # What is not told counts as nothing; a stream without its filed ones would look fuller than it is.
        known = isinstance(length, int) and isinstance(filed, int)
        return load(memory if isinstance(memory, dict) else {}, length if known else 0, filed if known else 0)

    def _tell(self, answer: Exception) -> None:
        if not self._blind:
            self._blind = True
            why = " ".join(str(answer).split())[:300]
            logger.warning("kinto-notify: how full Redis is can't be seen (%s); entries go out all the same", why)
