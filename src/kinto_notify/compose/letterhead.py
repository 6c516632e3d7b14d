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
        kinto = (
            ("X-Kinto-Bucket", seen.bucket_id),
            ("X-Kinto-Collection", seen.collection_id),
            ("X-Kinto-Action", one_line(actions, phrases.MAX_SUBJECT)),
            ("X-Kinto-Late", seen.late),
            ("X-Kinto-Reason", one_line(presentation.identity, phrases.MAX_SUBJECT)),
        )
        return b"".join(
            (
                headers.mailbox("From", self.sender),
                headers.mailbox("Reply-To", self.reply_to) if self.reply_to is not None else b"",
                headers.unstructured("Subject", subject),
                _date(digest.frozen // 1000),
                _thread(presentation, json.dumps(digest.key.group), self.domain),
                _ONE_CLICK if self.one_click else b"",
                _AUTOMATIC,
                *(headers.unstructured(name, value) for name, value in kinto if value),
                _MIME_VERSION,
                headers.tokens("Content-Type", "multipart/alternative;", f'boundary="{mime.boundary(digest.id)}"'),
            )
        )


def message_id(domain: str, *parts: str) -> str:
    """Return a message id that is a hash of its parts; 160 bits in base32 leave it within a line."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return f"<{base64.b32encode(digest[:20]).decode().lower()}@{domain}>"


@lru_cache(64)  # what becomes due together is frozen together
def _date(stamp: int) -> bytes:
    return headers.unstructured("Date", format_datetime(datetime.fromtimestamp(stamp, UTC)))


@lru_cache(1024)  # one for each subscription and group
def _thread(presentation: Presentation, group: str, domain: str) -> bytes:
    root = message_id(domain, "thread", presentation.identity, group)
    named = list_id(presentation.home, presentation.name, domain)
    parts = (("In-Reply-To", root), ("References", root), ("List-Id", named))
    return b"".join(headers.tokens(name, value) for name, value in parts)
