"""kinto-emailer 4.0.0 itself on a Kinto of its own, its mails caught where they would go to the relay.

Its mails and ours are put into one form, so that they can be compared: one `Told` for each recipient.
"""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import webtest
from pyramid_mailer.interfaces import IMailer
from pyramid_mailer.mailer import Mailer
from repoze.sendmail.encoding import encode_message

from support.kinto_app import kinto_app

DEFAULT_SENDER = "Kinto <kinto@example.org>"
_BRACKETED = re.compile(r".*<([^@<>\s]+@[^@<>\s]+)>")


@dataclass(frozen=True, slots=True, order=True)
class Told:
    """What one recipient is told."""

    recipient: str
    subject: str
    body: str
    sender: str


def address(text: str) -> str:
    """The address alone, as two spellings of one inbox have it in common."""
    found = _BRACKETED.match(text)
    return (found[1] if found else text).strip().casefold()


def told(message: bytes, recipient: str, sender: str | None = None) -> Told:
    """Read a mail's text; `sender` where its header can't be read."""
    parsed = message_from_bytes(message, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    part = parsed.get_body(("plain",))
    assert part is not None
    body = str(part.get_content())
    # Both add a line's end to a text that has none.
    text = "\n".join(body.splitlines()).rstrip("\n")
    # The standard library folds a long word to a line of its own, and reads the blank before it.
    subject = str(parsed["Subject"]).strip()
    return Told(address(recipient), subject, text, str(sender or parsed["From"]))


class _Caught:
    """Stands where the connection to the relay would be."""

    def __init__(self) -> None:
        self.mails: list[Told] = []

    def send(self, sender: str, recipients: list[str], message: Any) -> None:
        raw = encode_message(message)
        self.mails += [told(raw, one) for one in recipients]


class Emailer:
    """A Kinto with kinto-emailer; `mails` is what it has sent since it was last asked."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._caught = _Caught()
        self.app: webtest.TestApp = kinto_app(
            {"includes": "kinto_emailer", "mail.default_sender": DEFAULT_SENDER, **settings}
        )
        mailer = Mailer(smtp_mailer=self._caught, default_sender=DEFAULT_SENDER)
        self.app.app.registry.registerUtility(mailer, IMailer)

    def mails(self) -> list[Told]:
        found, self._caught.mails = self._caught.mails, []
        return found
