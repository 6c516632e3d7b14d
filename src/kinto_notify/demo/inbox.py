"""An SMTP inbox on loopback that keeps what it gets in memory, for people to look at.

In: any mail that a client hands over (no login, no TLS: the daemon speaks in clear to loopback only). Out:
`InboxMail`s, the last `KEPT` of them. A mail that the standard library can't decode is kept all the same, with what
could be read.
"""

import asyncio
import email.policy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from types import TracebackType
from typing import Self, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

# More than a person scrolls through; at the daemon's limit of 100 KB a mail, 20 MB at the worst.
KEPT = 200
# Far above what the daemon sends, and what a stray client may make us hold for one mail.
_SIZE_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True)
class InboxMail:
    """One mail as it came; numbers count from 1. `html` and `text` are empty where the mail has no such part."""

    number: int
    received: datetime
    recipients: tuple[str, ...]
    sender: str
    to: str
    subject: str
    date: str
    text: str
    html: str
    source: bytes


class Inbox:
    """Listens on 127.0.0.1 while it is open (`async with`), and hands out what has arrived."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._mails: deque[InboxMail] = deque(maxlen=KEPT)
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def mails(self) -> Sequence[InboxMail]:
        """All that is kept, newest first."""
        return tuple(reversed(self._mails))

    def get(self, number: int) -> InboxMail | None:
        """Return the mail of that number; None when it never came or is no longer kept."""
        return next((mail for mail in self._mails if mail.number == number), None)

    async def after(self, number: int) -> InboxMail:
        """Wait for the mail that follows `number` (0: the first one)."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.newest > number)
            return next(mail for mail in self._mails if mail.number > number)

    @property
    def newest(self) -> int:
        """The number of the mail that came last; 0 when none has come."""
        return self._mails[-1].number if self._mails else 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Take one mail (aiosmtpd calls this after the final dot)."""
        source = cast(bytes, envelope.original_content)
        recipients = tuple(envelope.rcpt_tos)
        async with self._arrived:
            self._mails.append(read_mail(source, self.newest + 1, datetime.now(UTC), recipients))
            self._arrived.notify_all()
        return "250 2.0.0 Ok: kept in memory"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(
                self, hostname="inbox.localhost", ident="demo", enable_SMTPUTF8=True, data_size_limit=_SIZE_LIMIT
            ),
            "127.0.0.1",
            self.port,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            # Not `wait_closed`: since Python 3.12 it waits for idle clients, and a pool keeps its sessions open.
            self._server.close()
            self._server = None


def read_mail(source: bytes, number: int, received: datetime, recipients: tuple[str, ...]) -> InboxMail:
    """Parse one mail; what is missing in it is an empty string."""
    message = email.message_from_bytes(source, policy=email.policy.default)
    return InboxMail(
        number=number,
        received=received,
        recipients=recipients,
        sender=_header(message, "From"),
        to=_header(message, "To") or ", ".join(recipients),
        subject=_header(message, "Subject"),
        date=_header(message, "Date"),
        text=_part(message, "plain"),
        html=_part(message, "html"),
        source=source,
    )


def _header(message: EmailMessage, name: str) -> str:
    return str(message.get(name, "")).strip()


def _part(message: EmailMessage, kind: str) -> str:
    """Return the text of the first `text/kind` part, whatever its charset claims to be."""
    body = message.get_body(preferencelist=(kind,))
    if body is None:
        return ""
    raw = cast(bytes, body.get_payload(decode=True) or b"")
    try:
        return raw.decode(body.get_content_charset("utf-8"), "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")
