"""Digest and recipient to a message, complete before any socket opens.

In: a frozen digest and a mailbox. Out: bytes: `headers(digest, recipient)` and `body(digest)`, put together by
`slot.filled`, are an RFC 5322 message, 7-bit, CRLF only, under 100 KB, and the same at every call. A digest can't make
it fail: a template that does is replaced by the built-in one and reported. A wrong setting or a broken template file is
a `ConfigError` when the composer is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path

from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.compose import headers, mime, phrases
from kinto_notify.compose.letterhead import Letterhead, message_id
from kinto_notify.compose.own_text import ROOMS, own_subject, own_text
from kinto_notify.compose.places import check_admin_url
from kinto_notify.compose.plain import one_line
from kinto_notify.compose.sample import sample_digest, sample_presentation
from kinto_notify.compose.slot import slot, unsubscribe_line
from kinto_notify.compose.template_set import DEFAULT, TemplateFault, TemplateSet
from kinto_notify.compose.view import Limits, View, view
from kinto_notify.diff import MAX_FIELDS, MAX_VALUE_LENGTH
from kinto_notify.digest import FrozenDigest, Line
from kinto_notify.errors import ConfigError
from kinto_notify.inbox_link import InboxLinks
from kinto_notify.subscription import FILE_HOME, Presentation

#: Gmail clips at 102 KB; the recipient's headers and the smarthost's own take some of what is left.
MAX_BODY = 97_000
#: A mail of less than this would not get much smaller without its details; most of a small one is form.
SUMMARY_FROM = 16_000
#: Where a mail would be too large it shows (at most) so many fields of a change, and lists as many changes as fit;
#: where those are fewer than so many, the next step shows fewer fields.
_STEPS = ((MAX_FIELDS, 10), (8, 5), (3, 1), (0, 0))
#: What a listed change takes at least, beside its values.
_LEAST_SIZE = 250
#: Hooks can be wrong in any number of ways; what was told of is not remembered without bound.
_MAX_TOLD = 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reader sees: for previews."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Mail:
    """What was composed, with what its templates saw."""

    parts: Parts
    seen: View
    body: bytes


class Composer:
    """Composes; holds templates and settings, and nothing of a digest.

    `on_fallback(name, reason)` hears once of each template or setting of a subscription that can't be used as written.
    """

    def __init__(
        self,
        *,
        sender: Mailbox,
        templates: Path | None = None,
        zone: tzinfo = UTC,
        admin_url: str | None = None,
        links: InboxLinks | None = None,
        on_fallback: Callable[[str, str], None] | None = None,
    ) -> None:
        try:
            headers.check_address(sender.address)
        except ValueError as fault:
            raise ConfigError(f"SENDER: {fault}") from None
        self._sender = sender
        self._zone = zone
        self._admin_url = check_admin_url(admin_url)
        self._links = links
        self._on_fallback = on_fallback
        self._told: set[str] = set()
        self._templates = TemplateSet(templates, self._sample_context() if templates else None)

    def subject(self, digest: FrozenDigest) -> str:
        """Return the subject, on one line and of at most 200 characters."""
        presentation = _presentation(digest)
        return self._subject(digest, presentation, self._view(digest, presentation, Limits(len(digest.lines), 0)))

    def body(self, digest: FrozenDigest) -> bytes:
        """Return what all recipients of the digest share: their common headers, the empty line, the MIME body."""
        presentation = _presentation(digest)
        mail = self._fitted(digest, presentation)
        return self._letterhead(digest, presentation, mail.parts.subject, mail.seen) + headers.CRLF + mail.body

    def summary(self, digest: FrozenDigest, body: bytes) -> bytes | None:
        """Return what recipients share of the mail that tells the totals alone, for a relay that finds `body` too big.

        None where that would not be much smaller. Its Message-ID is another one: `headers.for_summary`.
        """
        if len(body) < SUMMARY_FROM:
            return None
        presentation = _presentation(digest)
        seen = replace(self._view(digest, presentation, Limits(0, 0)), summary=True)
        subject = self._subject(digest, presentation, seen)
        context = {**seen.context(), "subject": subject}
        text, html = (self._templates.render_builtin(kind, context) for kind in ("txt", "html"))
        shared = self._letterhead(digest, presentation, subject, seen)
        return shared + headers.CRLF + self._alternative(digest, text, html)

    def headers(self, digest: FrozenDigest, recipient: Mailbox) -> bytes:
        """Return the recipient's own header lines, which come first; `ValueError` if the address is none."""
        own = headers.mailbox("To", recipient) + b"Message-ID: %b\r\n" % self._message_id(digest, recipient).encode()
        if self._links is None:
            return own
        token = self._links.token(recipient.fingerprint, digest.key.identity, digest.frozen)
        return own + unsubscribe_line(self._links.url(token))

    def parts(self, digest: FrozenDigest) -> Parts:
        """Return subject, text and HTML exactly as `body` sends them."""
        return self._fitted(digest, _presentation(digest)).parts

    def problems(self, presentation: Presentation) -> list[str]:
        """Return what this subscription asks of the composer in vain, one line each; such a mail falls back."""
        found = []
        if presentation.home == FILE_HOME:
            if presentation.template is not None and not self._templates.has(presentation.template):
                found.append(f"template {presentation.template!r}: no such file in TEMPLATES")
            if presentation.subject is not None:
                try:
                    self._templates.render_subject(presentation.subject, self._sample_context())
                except TemplateFault as fault:
                    found.append(fault.in_full())
        for key, text in (("sender", presentation.sender), ("reply_to", presentation.reply_to)):
            try:
                if text is not None:
                    headers.check_address(parse_mailbox(text).address)
            except ValueError as fault:
                found.append(f"{key}: {fault}")
        return found

    def _fitted(self, digest: FrozenDigest, presentation: Presentation) -> "_Mail":
        """Compose with as many lines as fit: honest about the rest, and under the size at which clients clip."""
        for room in ROOMS if own_text(digest, 1) is not None else ():
            mail = self._own_mail(digest, presentation, room)
            if len(mail.body) <= MAX_BODY or room == ROOMS[-1]:
                return mail
        for max_fields, least in _STEPS:
            listed = _room_for(digest.lines, max_fields)
            while listed >= min(len(digest.lines), least):
                mail = self._render(digest, presentation, Limits(listed, max_fields))
                # With nothing left to leave out, what is too large is the operator's own template.
                if len(mail.body) <= MAX_BODY or (listed, max_fields) == (0, 0):
                    return mail
                listed = min(listed - 1, int(listed * 0.97 * MAX_BODY / len(mail.body)))
        raise AssertionError("the last step lists nothing")

    def _alternative(self, digest: FrozenDigest, text: str, html: str) -> bytes:
        return mime.alternative(text, html, mime.boundary(digest.id), slot(digest.id) if self._links else "")

    def _render(self, digest: FrozenDigest, presentation: Presentation, limits: Limits) -> "_Mail":
        seen = self._view(digest, presentation, limits)
        subject = self._subject(digest, presentation, seen)
        context = {**seen.context(), "subject": subject}
        text, html = (self._part(presentation, kind, context) for kind in ("txt", "html"))
        return _Mail(Parts(subject, text, html), seen, self._alternative(digest, text, html))

    def _own_mail(self, digest: FrozenDigest, presentation: Presentation, room: int) -> "_Mail":
        """Compose the mail of a hook that has its own text: that text and nothing else, and an HTML part around it."""
        seen = self._view(digest, presentation, Limits(0, 0))
        text = own_text(digest, room) or ""
        subject = self._subject(digest, presentation, seen)
        html = self._templates.render_builtin("html", {**seen.context(), "subject": subject, "own_text": text})
        return _Mail(Parts(subject, text, html), seen, self._alternative(digest, text, html))

    def _part(self, presentation: Presentation, kind: str, context: dict[str, object]) -> str:
        name = self._template(presentation)
        try:
            rendered = self._templates.render(name, kind, context)
            if rendered.strip():
                return rendered
            self._fall_back(f"{name}.{kind}", "renders nothing")
        except TemplateFault as fault:
            self._fall_back(f"{name}.{kind}", str(fault))
        return self._templates.render_builtin(kind, context)

    def _subject(self, digest: FrozenDigest, presentation: Presentation, seen: View) -> str:
        default = phrases.subject(seen.where, digest.counts, digest.lines)
        return one_line(self._own_subject(digest, presentation, seen, default), phrases.MAX_SUBJECT) or default

    def _own_subject(self, digest: FrozenDigest, presentation: Presentation, seen: View, default: str) -> str:
        """Return the subject as the subscription or its template has it; one that a hook wrote is plain text."""
        if presentation.home != FILE_HOME:
            return own_subject(digest) or default
        context = {**seen.context(), "default_subject": default}
        name = self._template(presentation)
        try:
            if presentation.subject is not None:
                return self._templates.render_subject(presentation.subject, context)
            return self._templates.render(name, "subject", context)
        except TemplateFault as fault:
            own = presentation.subject is not None
            self._fall_back(f"subject of {presentation.identity}" if own else f"{name}.subject", str(fault))
            return default

    def _template(self, presentation: Presentation) -> str:
        """Return the name of the template to use; what a hook calls its template is a text, not a name."""
        if presentation.template is None or presentation.home != FILE_HOME:
            return DEFAULT
        if self._templates.has(presentation.template):
            return presentation.template
        self._fall_back(presentation.template, "no such template")
        return DEFAULT

    def _view(self, digest: FrozenDigest, presentation: Presentation, limits: Limits) -> View:
        reply_to = self._mailbox(presentation, "reply_to", presentation.reply_to)
        contact = one_line((reply_to or self._sender).address)
        seen = view(digest, presentation, contact, self._zone, self._admin_url, limits)
        return seen if self._links is None else replace(seen, unsubscribe=self._links.url(slot(digest.id)))

    def _letterhead(self, digest: FrozenDigest, presentation: Presentation, subject: str, seen: View) -> bytes:
        head = Letterhead(
            sender=self._mailbox(presentation, "sender", presentation.sender) or self._sender,
            reply_to=self._mailbox(presentation, "reply_to", presentation.reply_to),
            domain=self._sender.domain,
            one_click=self._links is not None and self._links.one_click,
        )
        return head.lines(digest, presentation, subject, seen)

    def _message_id(self, digest: FrozenDigest, recipient: Mailbox) -> str:
        # A frozen digest's id is a hash of its content, so the same changes have the same Message-ID even when Redis
        # lost its last second and the digest was frozen a second time.
        return message_id(self._sender.domain, digest.id, recipient.address)

    def _mailbox(self, presentation: Presentation, key: str, text: str | None) -> Mailbox | None:
        if text is None:
            return None
        try:
            found = parse_mailbox(text)
            headers.check_address(found.address)
        except ValueError as fault:
            self._fall_back(f"{key} of {presentation.identity}", str(fault))
            return None
        return found

    def _fall_back(self, name: str, reason: str) -> None:
        """Tell of a fault once: each digest would repeat it."""
        if self._on_fallback is not None and name not in self._told:
            if len(self._told) >= _MAX_TOLD:
                self._told.clear()
            self._told.add(name)
            self._on_fallback(name, reason)

    def _sample_context(self) -> dict[str, object]:
        digest = sample_digest()
        seen = self._view(digest, sample_presentation(), Limits(len(digest.lines), MAX_FIELDS))
        default = phrases.subject(seen.where, digest.counts, digest.lines)
        return {**seen.context(), "subject": default, "default_subject": default}


def _presentation(digest: FrozenDigest) -> Presentation:
    return _read(digest.key.text)


@lru_cache(256)  # subscriptions are few; the texts of hooks have a bound
def _read(text: str) -> Presentation:
    return Presentation.from_text(text)


def _room_for(lines: Sequence[Line], max_fields: int) -> int:
    """Return how many lines could fit: rendering a hundred fat ones only to drop them would take half a second."""
    room = MAX_BODY
    for index, line in enumerate(lines):
        values = (value for one in line.fields[:max_fields] for value in (one.old, one.new) if value)
        # In the text and in the HTML.
        room -= _LEAST_SIZE + 2 * sum(min(len(value), MAX_VALUE_LENGTH) for value in values)
        if room < 0:
            return index
    return len(lines)
