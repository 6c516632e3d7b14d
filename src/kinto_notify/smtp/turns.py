"""Those who wait for a session, in the order in which they came.

In: a message and what its caller wants to be asked before it goes out. Out: a slot, or a session on which the message
is announced already. A turn is in one place at a time: in the queue, behind the message of a session, or granted.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kinto_notify.delivery import Envelope

if TYPE_CHECKING:
    from kinto_notify.smtp.session import Session


class Turn:
    """One call of `Pool.send`."""

    __slots__ = ("before_body", "before_mail", "begun", "behind", "envelope", "granted", "impatient", "since")

    def __init__(
        self,
        envelope: Envelope,
        before_mail: Callable[[], None] | None,
        before_body: Callable[[], None] | None,
        *,
        impatient: bool,
    ) -> None:
        self.envelope = envelope
        self.before_mail = before_mail
        self.before_body = before_body
        self.impatient = impatient
        #: None: a slot; a session: a slot too, and the message is announced there.
        self.granted: asyncio.Future[Session | None] | None = None
        #: The session that has announced it behind the message of another.
        self.behind: Session | None = None
        #: Since when it waits (monotonic seconds).
        self.since = 0.0
        #: Whether it has had a slot before: then it comes before those that have not.
        self.begun = False

    @property
    def open(self) -> bool:
        """Whether its caller still waits for an answer."""
        return self.granted is not None and not self.granted.done()

    def grant(self, session: "Session | None") -> None:
        assert self.granted is not None
        self.behind = None
        self.granted.set_result(session)

    def fail(self, fault: Exception) -> None:
        assert self.granted is not None
        self.behind = None
        self.granted.set_exception(fault)


class Turns:
    """The queue."""

    def __init__(self) -> None:
        self._queue: deque[Turn] = deque()

    def __bool__(self) -> bool:
        return self.first is not None

    def __iter__(self) -> Iterator[Turn]:
        return iter([turn for turn in self._queue if turn.open])

    @property
    def first(self) -> Turn | None:
        """The one that is next; those whose callers have gone are struck out on the way."""
        while self._queue:
            if self._queue[0].open:
                return self._queue[0]
            self._queue.popleft()
        return None

    def join(self, turn: Turn, now: float) -> "asyncio.Future[Session | None]":
        """Wait at the end, or where it has begun already at the front."""
        turn.granted = asyncio.get_running_loop().create_future()
        turn.since = now
        (self._queue.appendleft if turn.begun else self._queue.append)(turn)
        return turn.granted

    def take(self) -> Turn:
        """Take the first one out."""
        return self._queue.popleft()

    def give_back(self, turn: Turn) -> None:
        """Let one be the first again: what it was taken out for has come to nothing."""
        turn.behind = None
        if turn.open:
            self._queue.appendleft(turn)
