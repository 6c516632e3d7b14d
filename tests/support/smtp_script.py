"""What the scripted SMTP server is told to do, and what it hands out: acts, mails, certificates."""

import asyncio
import re
import select
import ssl
from dataclasses import dataclass, field

import trustme


@dataclass(frozen=True)
class Act:
    """What the server does in a phase: it waits for `gate`, writes `reply`, and closes or hangs if told so."""

    reply: bytes = b""
    gate: asyncio.Event | None = None
    close: bool = False
    hang: bool = False
    #: Written in a segment of its own, right after the reply.
    then: bytes = b""
    #: How often the reply is written.
    times: int = 1
    #: At the dot: whether the message is taken, whatever the reply says.
    accept: bool | None = None


def say(text: str, gate: asyncio.Event | None = None, close: bool = False, accept: bool | None = None) -> Act:
    return Act(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n", gate, close, accept=accept)


def raw(reply: bytes, close: bool = False, hang: bool = False, then: bytes = b"", times: int = 1) -> Act:
    return Act(reply, close=close, hang=hang, then=then, times=times)


def drop(accept: bool | None = None) -> Act:
    return Act(close=True, accept=accept)


def hang(accept: bool | None = None) -> Act:
    return Act(hang=True, accept=accept)


Step = str | Act | list[str | Act]


@dataclass(frozen=True)
class Mail:
    """One message that the server took; `raw` is what came over the wire before the final dot."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    at: float
    connection: int
    options: tuple[str, ...] = ()
    tls: bool = False
    user: str | None = None

    @property
    def recipient(self) -> str:
        return self.recipients[0]

    @property
    def data(self) -> bytes:
        """The message with the stuffed dots taken out."""
        return re.sub(rb"(?m)^\.", b"", self.raw)

    @property
    def message_id(self) -> str | None:
        found = re.search(rb"(?mi)^message-id:\s*(\S+)", self.data.partition(b"\r\n\r\n")[0])
        return found[1].decode() if found else None


class Hangup(Exception):
    """The server ends this connection."""


@dataclass(eq=False)
class Connection:
    """One client: its streams, and the transaction under way."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: "asyncio.Task[None]"
    tls: bool = False
    user: str | None = None
    messages: int = 0
    sender: str | None = None
    options: tuple[str, ...] = ()
    recipients: list[str] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the client has closed it, as the kernel knows at this moment: our loop may hear of it later."""
        socket = self.writer.get_extra_info("socket")
        if socket is None or socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(socket.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def reset(self) -> None:
        self.sender, self.options, self.recipients = None, (), []


def tls_contexts(*names: str, ca: trustme.CA | None = None) -> tuple[ssl.SSLContext, trustme.CA]:
    """Return a server's context with a certificate for these names, and the CA that made it."""
    ca = ca or trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context, ca
