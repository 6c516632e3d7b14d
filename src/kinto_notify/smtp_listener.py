"""The listener of Kinto's tutorial: mails at once, from Kinto's own process, to a mail relay near by.

In: the tutorial's settings `server`, `from` and `recipients`, then Kinto's events. Out: one mail per event, sent after
its transaction committed. Wrong settings stop Kinto (`ConfigurationError`); afterwards nothing of ours fails a write:
a mail that can't be sent is one line in the log, and gone. Those who want more use `kinto_notify.listener`.
"""

import logging
import os
import re
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any
from urllib.parse import unquote

from pyramid.events import NewRequest
from pyramid.exceptions import ConfigurationError

from kinto_notify import wire
from kinto_notify.outbox.capture import Captured, capture
from kinto_notify.outbox.joined import survivors_of
from kinto_notify.outbox.request import (
    origin_of,
    own_of,
    partly_rolled_back,
    remember_begin,
    root_of,
    transaction_of,
)
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.split import clipped
from kinto_notify.outbox.storage import StorageView
from kinto_notify.outbox.tell import tell

logger = logging.getLogger(__name__)

#: The writer waits for this in the worst case: a relay near by answers in milliseconds.
TIMEOUT_SECONDS = 10
_MAX_LISTED = 100
_ADDRESS = re.compile(r"[^\s@<>,;\"\\]+@[A-Za-z0-9.-]+\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_LOOPBACK = re.compile(r"localhost\Z|127\.\d+\.\d+\.\d+\Z|::1\Z")
_PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Server:
    """Where to submit; TLS from the start for `smtps`, STARTTLS required otherwise, unless it is this machine."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    implicit_tls: bool = False

    @property
    def loopback(self) -> bool:
        """Tell whether the host is this machine."""
        return bool(_LOOPBACK.match(self.host))


def load_from_config(config: Any, prefix: str = "") -> "SmtpListener":
    """Make the listener that `event_listeners.<name>.use = kinto_notify.smtp_listener` asks for."""
    settings = config.get_settings()
    problems: list[str] = []
    texts = {key: _text(settings, prefix, key) for key in ("server", "from", "recipients")}
    problems += [f"{prefix}{key}: is missing" for key, text in texts.items() if not text]
    server = parse_server(texts["server"])
    if texts["server"] and server is None:
        # The value may hold a password: only what is expected is told.
        problems.append(f"{prefix}server: is not user:password@host:port, smtp://... or smtps://...")
    recipients = texts["recipients"].replace(",", " ").split()
    for key, addresses in (("from", [texts["from"]] if texts["from"] else []), ("recipients", recipients)):
        wrong = [address for address in addresses if not _ADDRESS.match(address)]
        problems += [f"{prefix}{key}: {address!r} is not an address" for address in wrong]
    if problems or server is None:
        raise ConfigurationError(f"kinto-notify: {'; '.join(problems)}")
    listener = SmtpListener(server, texts["from"], recipients, StorageView(config.registry))
    config.add_subscriber(lambda event: remember_begin(event.request), NewRequest)
    return listener


def parse_server(text: str) -> Server | None:
    """Read `[smtp[s]://][user:password@]host[:port]`; None if it is something else. `%40` stands for `@`."""
    scheme, found, rest = text.rpartition("://")
    scheme = scheme.lower() if found else "smtp"
    # The last @ is the one before the host: a password may hold others.
    login, _, place = rest.rstrip("/").rpartition("@")
    user, _, password = login.partition(":")
    match = re.match(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\Z", place)
    if scheme not in _PORTS or match is None:
        return None
    port = int(match[2] or _PORTS[scheme])
    if not 0 < port < 65536:
        return None
    return Server(match[1].strip("[]"), port, unquote(user), unquote(password), scheme == "smtps")


class SmtpListener:
    """Called by Kinto with each event, inside the transaction."""

    def __init__(self, server: Server, sender: str, recipients: Sequence[str], storage: StorageView) -> None:
        self._server = server
        self._sender = sender
        self._recipients = list(recipients)
        self._storage = storage
        self._settings = OutboxSettings(url="")

    def __call__(self, event: Any) -> None:
        """Note one event for after the commit. Never raises."""
        try:
            self._note(event)
        except Exception:
            logger.exception("kinto-notify could not note %r: it will not be mailed", event)

    def _note(self, event: Any) -> None:
        request = root_of(event.request)
        event_id = wire.new_id()
        captured = capture(event, origin_of(request, event_id), self._settings, event_id)
        if captured is None:
            return
        _, transaction = transaction_of(request)
        if transaction is None:
            self._send([_composed(captured, self._sender, self._recipients)])
            return
        try:
            events: list[Captured] = transaction.data(self)
        except KeyError:
            events = []
            transaction.set_data(self, events)
            if partly_rolled_back(own_of(request), transaction):
                transaction.addBeforeCommitHook(self._drop_rolled_back, args=(events,))
            transaction.addAfterCommitHook(self._after, args=(events,))
        events.append(captured)

    def _drop_rolled_back(self, events: list[Captured]) -> None:
        try:
            events[:] = [event for event in survivors_of(events, self._storage) if event.impacted]
        except Exception:
            logger.exception("kinto-notify could not compare a batch with storage; all its changes are mailed")

    def _after(self, success: bool, events: list[Captured]) -> None:
        if not success:
            return
        try:
            self._send([_composed(e, self._sender, self._recipients) for e in events])
        except Exception as error:  # noqa: BLE001 - whatever it is, the write is done
            # One line: a traceback could show the login.
            logger.error("kinto-notify could not mail %d notice(s): %s", len(events), _reason(error))  # noqa: TRY400

    def _send(self, messages: Sequence[EmailMessage]) -> None:
        if not messages:
            return
        server = self._server
        tls = ssl.create_default_context()
        connection: smtplib.SMTP
        if server.implicit_tls:
            connection = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=tls)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
        with connection:
            if not server.implicit_tls and not server.loopback:
                # Raises where the server does not offer it: what was stripped on the way must not go in clear.
                connection.starttls(context=tls)
            if server.user:
                connection.login(server.user, server.password)
            for message in messages:
                refused = connection.send_message(message, self._sender, self._recipients)
                if refused:
                    logger.error("kinto-notify: the mail relay refused %s", ", ".join(sorted(refused)))


def _composed(captured: Captured, sender: str, recipients: Sequence[str]) -> EmailMessage:
    event = tell(captured)
    resource, action = event.data.get("resource_name"), str(event.data.get("action", ""))
    what = _plain(f"{resource} {action}d" if action.endswith("e") else f"{resource} {action}")
    lines = [
        f"User id: {_plain(str(event.data.get('user_id', '(anonymous)')))}",
        f"When: {event.envelope['time']}",
        "",
        *(_plain(clipped(change["uri"])) for change in event.changes[:_MAX_LISTED]),
    ]
    if len(event.changes) > _MAX_LISTED:
        lines.append(f"and {len(event.changes) - _MAX_LISTED} more")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = what
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(lines) + "\n")
    return message


def _plain(text: str) -> str:
    """Return a text that can end no line and start no header."""
    return _CONTROL.sub(" ", text)


def _reason(error: BaseException) -> str:
    return _plain(f"{type(error).__name__}: {error}")[:300]


def _text(settings: Any, prefix: str, key: str) -> str:
    for project in (settings.get("settings_prefix"), settings.get("project_name"), "cliquet"):
        name = f"{project}.{prefix}{key}".replace(".", "_").replace("-", "_").upper()
        if project and name in os.environ:
            return os.environ[name].strip()
    return str(settings.get(prefix + key) or "").strip()
