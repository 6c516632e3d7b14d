"""An alarm for the soonest of many due times. In: delays. Out: an event that is set when the soonest is over."""

import asyncio


class Alarm:
    """Rings `event`; one timer however many delays it is told, so that a day of them leaves no day of timers."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0

    def within(self, delay_ms: int) -> None:
        """Ring after so many milliseconds, unless it rings sooner anyway: the later ones are then to be told again."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        when = now + delay_ms / 1000
        if not now < self._rings_at <= when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._rings_at = loop.call_at(when, self._event.set), when
