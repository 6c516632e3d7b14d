"""One step that runs beside the loop, while its caller prepares the next one.

In: coroutines, one after the other. Out: they are run in their order, one at a time. What one raises comes out where
the next is started or waited for; a cancellation of who waits ends it.
"""

import asyncio
import contextlib
from collections.abc import Coroutine


class InFlight:
    """At most one step under way; one caller at a time."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        """Tell whether a step was started whose end nobody has seen."""
        return self._task is not None

    async def start(self, step: Coroutine[None, None, None]) -> None:
        """Wait for the step before, then start this one; where that one failed this one is not begun."""
        try:
            await self.ended()
        except BaseException:
            step.close()
            raise
        self._task = asyncio.create_task(step)

    async def ended(self) -> None:
        """Wait for the step under way; raises what it raised."""
        task, self._task = self._task, None
        if task is not None:
            await task

    async def give_up(self) -> None:
        """Cancel the step under way and wait for its end, whatever that is."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(BaseException):
                await task
