"""What mails say, read back: a template that a program can read, and the reader."""

import email
import email.policy
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from support.smtp_script import Mail

_TEXT = """\
{% for c in changes %}{% for f in c.fields %}{{ c.action }}|{{ c.uri }}|{{ f.pointer }}|{{ f.old }}|{{ f.new }}
{% else %}{{ c.action }}|{{ c.uri }}|||
{% endfor %}{% endfor %}total|{{ total }}|||
"""


class Told(NamedTuple):
    """One field of one change, as a mail tells it; a change without fields has an empty pointer."""

    action: str
    uri: str
    pointer: str
    old: str
    new: str


class Letter:
    """One received mail."""

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.message = email.message_from_bytes(mail.raw, policy=email.policy.default)
        self.recipient = mail.recipient
        self.ident = str(self.message["Message-ID"])
        self.subject = str(self.message["Subject"])
        body = self.message.get_body(("plain",))
        assert body is not None
        self.text: str = body.get_content()

    @cached_property
    def _told(self) -> list[Told]:
        rows = [line.split("|") for line in self.text.splitlines() if line.count("|") >= 4]
        return [Told(*row[:5]) for row in rows if row[0] != "total"]

    def told(self) -> list[Told]:
        return self._told

    def total(self) -> int:
        return next(int(line.split("|")[1]) for line in self.text.splitlines() if line.startswith("total|"))


def machine_template(directory: Path) -> Path:
    """Write the template `machine` into a directory of templates; return the directory."""
    directory.mkdir(exist_ok=True)
    (directory / "machine.txt").write_text(_TEXT)
    return directory


_read: dict[int, tuple[Mail, Letter]] = {}


def letters(mails: Iterable[Mail]) -> list[Letter]:
    """Parse mails, each once however often it is asked for."""
    found = []
    for mail in mails:
        # The mail is kept beside, so that its id is not used for another one.
        if id(mail) not in _read:
            _read[id(mail)] = (mail, Letter(mail))
        found.append(_read[id(mail)][1])
    return found


def uris(found: Iterable[Letter]) -> Counter[str]:
    """How often each object is told of, over mails that are not copies of each other."""
    distinct = {letter.ident: letter for letter in found}
    return Counter(uri for letter in distinct.values() for uri in {one.uri for one in letter.told()})
