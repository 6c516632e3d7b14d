"""The header lines that all recipients of a digest share, and the ids that make threads of mails.

Pure. In: a digest, its view, its subject and who it is from. Out: complete lines with CRLF, the same at every call.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from kinto_notify.address import Mailbox
from kinto_notify.compose import headers, mime, phrases
from kinto_notify.compose.list_id import list_id
from kinto_notify.compose.plain import one_line
from kinto_notify.compose.view import View
from kinto_notify.digest import FrozenDigest
from kinto_notify.subscription import Presentation

_AUTOMATIC = headers.tokens("Auto-Submitted", "auto-generated") + headers.tokens("X-Auto-Response-Suppress", "All")
_ONE_CLICK = headers.tokens("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
_CONTENT_TYPE = b'Content-Type: multipart/alternative;\r\n boundary="%b"\r\n'
_MIME_VERSION = headers.tokens("MIME-Version", "1.0")


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who a mail is from; `domain` is that of the daemon's own sender. `one_click`: links can be posted to."""

    sender: Mailbox
    reply_to: Mailbox | None
    domain: str
    one_click: bool

    def lines(self, digest: FrozenDigest, presentation: Presentation, subject: str, seen: View) -> bytes:
        """Return all that stands before a recipient's own lines and the empty line, as bytes."""
        actions = ", ".join(sorted({count.action for count in seen.counts}))
        return b"".join(
            (
                headers.mailbox("From", self.sender),
                headers.mailbox("Reply-To", self.reply_to) if self.reply_to is not None else b"",
                headers.unstructured("Subject", subject),
                _date(digest.frozen // 1000),
                _thread(message_id(self.domain, "thread", presentation.identity, json.dumps(digest.key.group))),
                _list(presentation.home, presentation.name, self.domain),
                _ONE_CLICK if self.one_click else b"",
                _AUTOMATIC,
                _kinto(seen.bucket_id, seen.collection_id, actions, seen.late, presentation.identity),
                _MIME_VERSION,
                _CONTENT_TYPE % mime.boundary(digest.id).encode(),
            )
        )


def message_id(domain: str, *parts: str) -> str:
    """Return a message id that is a hash of its parts; 160 bits in base32 leave it within a line."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return f"<{base64.b32encode(digest[:20]).decode().lower()}@{domain}>"


@lru_cache(64)  # what becomes due together is frozen together
def _date(stamp: int) -> bytes:
    return headers.unstructured("Date", format_datetime(datetime.fromtimestamp(stamp, UTC)))


def _thread(root: str) -> bytes:
    return b"In-Reply-To: %b\r\nReferences: %b\r\n" % (root.encode(), root.encode())


@lru_cache(256)  # subscriptions are few
def _list(home: str, name: str, domain: str) -> bytes:
    return headers.tokens("List-Id", list_id(home, name, domain))


@lru_cache(1024)  # one for each subscription, place and kind of change
def _kinto(bucket: str, collection: str, actions: str, late: str, identity: str) -> bytes:
    named = (
        ("X-Kinto-Bucket", bucket),
        ("X-Kinto-Collection", collection),
        ("X-Kinto-Action", one_line(actions, phrases.MAX_SUBJECT)),
        ("X-Kinto-Late", late),
        ("X-Kinto-Reason", one_line(identity, phrases.MAX_SUBJECT)),
    )
    return b"".join(headers.unstructured(name, value) for name, value in named if value)
