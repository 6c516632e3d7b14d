"""What the tests of the pool hand over, and how a patient caller does it."""

from kinto_notify.delivery import Envelope, Outcome
from kinto_notify.errors import RelayFault
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.timeouts import Timeouts

MESSAGE = b"Message-ID: <1@test.invalid>\r\nSubject: hello\r\n\r\nHello\r\n"
#: Pauses short enough to be waited for in earnest.
QUICK = Timeouts(pause_least=0.05, pause_most=0.2)


def envelope(recipient: str = "ann@example.org", message: bytes = MESSAGE, smtputf8: bool = False) -> Envelope:
    return Envelope("bounces@example.org", recipient, message, smtputf8)


async def persist(pool: Pool, message: Envelope) -> Outcome:
    """What the courier does: wait until the relay may be tried, try again after a fault."""
    while True:
        await pool.ready()
        try:
            return await pool.send(message)
        except RelayFault:
            continue
