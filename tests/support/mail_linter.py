"""Reads a message as strictly as it can be read, and lists what is wrong with it.

In: the bytes as they would go to the smarthost. Out: one line for each fault, none for a good mail. Run on every mail
that a test makes.
"""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type")
REQUIRED = (
    *ONCE,
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "List-Id",
    "In-Reply-To",
    "References",
    "X-Kinto-Reason",
)
#: RFC 5322 2.1.1: should, and must.
GOOD_LINE, HARD_LINE = 78, 998
MAX_SIZE = 100_000
_VOID = {"meta", "br", "hr", "img", "link", "input", "col", "wbr"}
_FORBIDDEN_TAGS = {
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "link",
    "base",
    "img",
    "svg",
    "video",
    "audio",
    "input",
}
_REMOTE = re.compile(r"url\(|@import|expression\(", re.IGNORECASE)
_FIELD = re.compile(rb"[!-9;-~]+: \S")

#: Mails of ours that were taken since `faults_of_taken` was called last.
_taken: list[bytes] = []
#: Content that was found good: a digest's mails to many have it in common.
_good: set[bytes] = set()
_OURS = b"\r\nAuto-Submitted: auto-generated\r\n"


def take(message: bytes) -> None:
    """Remember a mail that a test made or received; what is not of our making (a test's own letter) is not ours."""
    if _OURS in message.partition(b"\r\n\r\n")[0] + b"\r\n":
        _taken.append(message)


def faults_of_taken() -> list[str]:
    """Lint what was taken, and forget it. `tests/conftest.py` asks after every test."""
    faults = []
    while _taken:
        message = _taken.pop()
        head, _, body = message.partition(b"\r\n\r\n")
        utf8 = bool(re.search(rb"[\x80-\xff]", head))
        content = sha256(body).digest()
        found = (
            lint(message, smtputf8=utf8)
            if content not in _good
            else [*_lint_bytes(message, utf8), *_lint_headers(_ascii(message, utf8))]
        )
        if not found:
            _good.add(content)
        faults += [f"{one} in {head[:400]!r}" for one in found]
    return faults


def parse(message: bytes) -> EmailMessage:
    """Parse with the standard library's strictest reading."""
    parsed = message_from_bytes(message, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def lint(message: bytes, *, smtputf8: bool = False) -> list[str]:
    """Return every fault of a message; `smtputf8` allows UTF-8 in its address headers (RFC 6532)."""
    # The standard library reads no UTF-8 headers from bytes; what stands in them is the caller's to check.
    ascii_only = _ascii(message, smtputf8)
    return [*_lint_bytes(message, smtputf8), *_lint_headers(ascii_only), *_lint_parts(ascii_only)]


def _ascii(message: bytes, smtputf8: bool) -> bytes:
    return re.sub(rb"[\x80-\xff]", b"x", message) if smtputf8 else message


def _lint_bytes(message: bytes, smtputf8: bool) -> list[str]:
    faults = []
    head, empty, body = message.partition(b"\r\n\r\n")
    if not empty:
        return ["no empty line after the headers"]
    if len(message) >= MAX_SIZE:
        faults.append(f"{len(message)} bytes")
    if re.search(rb"(?<!\r)\n|\r(?!\n)", message):
        faults.append("a bare CR or LF")
    if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", message):
        faults.append("a control character")
    if re.search(rb"[\x80-\xff]", body if smtputf8 else message):
        faults.append("not 7-bit")
    if not message.endswith(b"\r\n"):
        faults.append("the last line does not end")
    for line in message.split(b"\r\n"):
        if len(line) > HARD_LINE:
            faults.append(f"line of {len(line)}")
        # A token that cannot be folded (an address, a message id) may be longer.
        elif len(line) > GOOD_LINE and not (line in head and b" " not in line.partition(b": ")[2].strip()):
            faults.append(f"line of {len(line)}: {line[:60]!r}")
    fields = re.split(rb"\r\n(?![ \t])", head)
    faults += [f"no header field: {field[:60]!r}" for field in fields if not _FIELD.match(field)]
    for line in head.split(b"\r\n"):
        if not line.strip():
            faults.append("a folded line of blanks only")
        if b"=?" in line and len(line) > 76:
            faults.append("a line with an encoded word is over 76")
    words = re.findall(rb"=\?[^ ]*\?=", head)
    return faults + [f"encoded word of {len(word)}" for word in words if len(word) > 75]


def _lint_headers(message: bytes) -> list[str]:
    parsed = parse(message)
    faults = [f"{one!r} on the whole" for one in parsed.defects]
    names = [name.lower() for name in parsed]
    faults += [f"{name} stands {names.count(name.lower())} times" for name in ONCE if names.count(name.lower()) != 1]
    faults += [f"no {name}" for name in REQUIRED if name.lower() not in names]
    for name, value in parsed.items():
        if getattr(value, "defects", ()):
            faults.append(f"{name}: {value.defects}")
        if re.search(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]", str(value)):
            faults.append(f"{name}: a line break or direction override in {str(value)!r}")
    for name in ("From", "To"):
        addresses: tuple[Any, ...] = getattr(parsed[name], "addresses", ())
        if len(addresses) != 1 or not addresses[0].domain:
            faults.append(f"{name}: {len(addresses)} mailboxes")
    if getattr(parsed["Date"], "datetime", None) is None:
        faults.append(f"Date: {parsed['Date']!r}")
    for name in ("Message-ID", "In-Reply-To", "References"):
        if not re.fullmatch(r"<[a-z2-7]+@[A-Za-z0-9.-]+>", str(parsed[name]).strip()):
            faults.append(f"{name}: {parsed[name]!r}")
    return faults


def _lint_parts(message: bytes) -> list[str]:
    parsed = parse(message)
    if parsed.get_content_type() != "multipart/alternative":
        return [f"is {parsed.get_content_type()}"]
    parts = list(parsed.iter_parts())
    kinds = [part.get_content_type() for part in parts]
    if kinds != ["text/plain", "text/html"]:
        return [f"parts are {kinds}"]
    faults = [f"{one!r} in a part" for part in parts for one in part.defects]
    text, html = (str(part.get_content()) for part in parts)
    if not text.strip():
        faults.append("the text part is empty")
    if "\x1b" in text or "\x00" in text:
        faults.append("a control character in the text")
    return faults + lint_html(html)


def lint_html(html: str) -> list[str]:
    """Return what is wrong with an HTML part: tags that don't match, anything that runs or loads."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    faults = reader.faults + [f"<{tag}> is never closed" for tag in reader.open]
    if not reader.shown.strip():
        faults.append("the HTML part shows nothing")
    return faults


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.shown = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _FORBIDDEN_TAGS:
            self.faults.append(f"<{tag}>")
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "srcset", "background", "ping"):
                self.faults.append(f"<{tag} {name}>")
            if name == "href" and not re.match(r"https?://[^\s\"'<>]+\Z", value or ""):
                self.faults.append(f"<{tag} href={value!r}>")
            if name == "style" and _REMOTE.search(value or ""):
                self.faults.append(f"<{tag} style={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            if _REMOTE.search(data):
                self.faults.append("a style that loads")
        else:
            self.shown += data

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment: {data[:40]!r}")
