"""A Kinto with `hooks = true`, and the daemon's own way from an entry of the stream to composed mails."""

import json
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import redis
import webtest
from kinto.core.events import ResourceChanged

from kinto_notify import wire
from kinto_notify.catalogue import load_catalogue
from kinto_notify.compose.composer import Composer
from kinto_notify.digest import Filing, FrozenDigest, Line
from kinto_notify.intake import sort
from kinto_notify.settings import load_settings
from kinto_notify.store.stream import Entry
from support.emailer import DEFAULT_SENDER, Told, told
from support.kinto_app import close, kinto_app, listening
from support.mail_linter import lint
from support.stream import eventually

#: What the mail linter says of a text part that its hook leaves empty (D9).
_EMPTY = ["the text part is empty"]


class Hooked:
    """A Kinto, its stream, and what a daemon makes of it.

    `faults` is what the mail linter found, `headers` all names of headers.
    """

    def __init__(self, redis_url: str, spool: Path, settings: dict[str, str], **variables: str) -> None:
        self._events = 0
        self.namespace = spool.name
        self.app: webtest.TestApp = kinto_app(
            {**listening(redis_url, spool, hooks="true", namespace=self.namespace), **settings}, self._count
        )
        self._client = redis.Redis.from_url(redis_url, socket_timeout=10)
        self._seen = b"0"
        given = {"SENDER": DEFAULT_SENDER, "ALLOWED_RECIPIENTS": "*", "ALLOWED_SENDERS": "*", **variables}
        self.settings = load_settings({f"KINTO_NOTIFY_{name}": value for name, value in given.items()})
        self.catalogue = load_catalogue(self.settings)
        self._composer = Composer(sender=self.settings.sender)
        self.faults: list[str] = []
        self.headers: set[str] = set()

    def _count(self, config: Any) -> None:
        def one_more(event: Any) -> None:
            self._events += 1

        config.add_subscriber(one_more, ResourceChanged)

    def request(self, method: str, path: str, body: Any = None) -> webtest.TestResponse:
        """Speak to Kinto; what it refuses makes no events."""
        before = self._events
        answer = send(self.app, method, path, body)
        if answer.status_int >= 400:
            self._events = before
        return answer

    def expect(self, events: int) -> None:
        """So many events came of the last requests that are not Kinto's own."""
        self._events += events

    def entries(self) -> list[Entry]:
        """What came through the stream since the last call: all that was written since."""
        found: list[Entry] = []

        def arrived() -> bool:
            entries = self._client.xrange(wire.events_key(self.namespace), min=f"({self._seen.decode()}")
            for ident, fields in entries:
                found.append(Entry(ident.decode(), fields))
                self._seen = ident
            return len(found) >= self._events

        eventually(arrived)
        assert len(found) == self._events
        self._events = 0
        return found

    def mails(self) -> list[Told]:
        """The mails of what was written since the last call."""
        filed, poison = sort(self.entries(), self.catalogue)
        assert not poison
        return [mail for one in filed for filing in one.filings for mail in self._mails(filing)]

    def _mails(self, filing: Filing) -> list[Told]:
        digest = frozen(filing)
        body = self._composer.body(digest)
        found = []
        for mailbox in filing.recipients:
            raw = self._composer.headers(digest, mailbox) + body
            mail = told(raw, str(mailbox))
            self.headers.update(name.lower() for name in BytesParser().parsebytes(raw, headersonly=True))
            self.faults += [fault for fault in lint(raw) if mail.body.strip() or fault not in _EMPTY]
            found.append(mail)
        return found

    def close(self) -> None:
        close(self.app)
        self._client.close()


def frozen(filing: Filing) -> FrozenDigest:
    """A digest that holds what one event added, as the store would freeze it."""
    lines = tuple(Line.decode(line) for line in filing.lines)
    stamp = 1_795_447_000_123
    return FrozenDigest(filing.key.id, filing.key, filing.recipients, filing.counts, lines, stamp, stamp)


def send(app: webtest.TestApp, method: str, path: str, body: Any = None) -> webtest.TestResponse:
    """Send a request whatever it is answered; an address and a program of its own, as in production."""
    more = {"REMOTE_ADDR": "192.0.2.7", "HTTP_USER_AGENT": "httpie/3"}
    if body is None:
        return app.request(f"/v1{path}", method=method, status="*", environ=more)
    headers = {"Content-Type": "application/json"}
    raw = json.dumps(body).encode()
    return app.request(f"/v1{path}", method=method, body=raw, headers=headers, status="*", environ=more)
