"""Mails to hand to an SMTP server, and the handing over."""

import smtplib
from email.message import EmailMessage
from email.policy import SMTP


def letter(subject: str, text: str = "hello", html: str = "") -> bytes:
    """A whole mail, with an HTML part if there is `html`."""
    message = EmailMessage()
    message["From"] = "Kinto <kinto@example.org>"
    message["To"] = "Editors <editors@example.org>"
    message["Subject"] = subject
    message["Date"] = "Mon, 23 Nov 2026 15:00:00 +0000"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes(policy=SMTP)


def send(port: int, *sources: bytes, recipient: str = "editors@example.org") -> None:
    """Hand mails to the server on that loopback port, in one session."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for source in sources:
            client.sendmail("kinto@example.org", [recipient], source)
