"""A notice to the operator as a message: complete and strict, like every mail of ours.

In: a notice and two mailboxes. Out: header bytes and body bytes as a delivery holds them. The text names relays,
daemons, hooks and counts; no record's content and no recipient. Never fails on a notice.
"""

import base64
import hashlib
from datetime import UTC, datetime, tzinfo
from email.utils import format_datetime

from kinto_notify.address import Mailbox
from kinto_notify.compose import headers, mime
from kinto_notify.compose.list_id import list_id
from kinto_notify.compose.plain import one_line
from kinto_notify.compose.template_set import TemplateSet
from kinto_notify.notice import NOTICE_IDENTITY, Notice
from kinto_notify.subscription import FILE_HOME

_NAME = "notice"
#: A relay's last words are cut: they come from elsewhere.
_MAX_FAULT = 300
#: More reasons, outages or hooks than this are a sign, not a list.
_MAX_LISTED = 50


class NoticeComposer:
    """Composes notices from `sender` to `operator`."""

    def __init__(self, sender: Mailbox, operator: Mailbox, zone: tzinfo = UTC) -> None:
        self._sender = sender
        self._operator = operator
        self._zone = zone
        self._templates = TemplateSet()

    def ident(self, notice: Notice) -> str:
        """Name the notice's delivery: the same for the same notice."""
        return "notice-" + hashlib.sha256(repr(notice).encode()).hexdigest()[:32]

    def compose(self, notice: Notice) -> tuple[bytes, bytes]:
        """Return the recipient's own header lines, and the rest of the message."""
        context = self._context(notice)
        text = self._templates.render_builtin("txt", context, _NAME)
        html = self._templates.render_builtin("html", context, _NAME)
        mark = mime.boundary(self.ident(notice))
        own = headers.mailbox("To", self._operator) + headers.tokens("Message-ID", self._id(self.ident(notice)))
        shared = b"".join(
            (
                headers.mailbox("From", self._sender),
                headers.unstructured("Subject", subject(notice)),
                headers.unstructured("Date", format_datetime(datetime.fromtimestamp(notice.made // 1000, UTC))),
                headers.tokens("In-Reply-To", self._id("thread")),
                headers.tokens("References", self._id("thread")),
                headers.tokens("List-Id", list_id(FILE_HOME, "operator", self._sender.domain)),
                headers.tokens("Auto-Submitted", "auto-generated"),
                headers.tokens("X-Auto-Response-Suppress", "All"),
                headers.unstructured("X-Kinto-Reason", NOTICE_IDENTITY),
                headers.tokens("MIME-Version", "1.0"),
                headers.tokens("Content-Type", "multipart/alternative;", f'boundary="{mark}"'),
            )
        )
        return own, shared + headers.CRLF + mime.alternative(text, html, mark)

    def _context(self, notice: Notice) -> dict[str, object]:
        outages = [
            {
                "relay": one_line(one.relay),
                "daemon": one_line(one.daemon),
                "opened": self._moment(one.opened),
                "closed": self._moment(one.closed) if one.closed is not None else "",
                "fault": one_line(one.fault, _MAX_FAULT),
            }
            for one in notice.outages
        ]
        return {
            "title": subject(notice),
            "since": self._moment(notice.since),
            "buried": notice.buried,
            "dead": notice.dead[:_MAX_LISTED],
            "others": notice.buried - sum(count for _, count in notice.dead[:_MAX_LISTED]),
            "outages": outages[:_MAX_LISTED],
            "hooks": [one_line(one) for one in notice.switched_off[:_MAX_LISTED]],
        }

    def _moment(self, ms: int) -> str:
        return datetime.fromtimestamp(ms / 1000, self._zone).strftime("%Y-%m-%d %H:%M:%S %Z")

    def _id(self, seed: str) -> str:
        raw = hashlib.sha256(f"{NOTICE_IDENTITY}\0{seed}".encode()).digest()
        return f"<{base64.b32encode(raw[:20]).decode().lower()}@{self._sender.domain}>"


def subject(notice: Notice) -> str:
    """Say in a line what it is about."""
    parts = []
    if notice.buried:
        parts.append(f"{notice.buried:,} dead letter{'' if notice.buried == 1 else 's'}")
    if notice.outages:
        still = any(one.closed is None for one in notice.outages)
        parts.append("a mail relay can't be used" if still else "a mail relay could not be used")
    if notice.switched_off:
        parts.append(f"{len(notice.switched_off)} hook{'' if len(notice.switched_off) == 1 else 's'} switched off")
    return f"[kinto-notify] {', '.join(parts)}"
