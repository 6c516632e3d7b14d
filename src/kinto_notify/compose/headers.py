"""Header fields as strict bytes: RFC 5322 folding, RFC 2047 encoded words, RFC 2047-safe display names.

In: field names of ours and any text or mailbox. Out: complete lines, each ended by CRLF, of at most 78 characters
unless one token (an address, a message id) is longer by itself. The standard library is
not used for it: an encoded word with CR/LF in a subject becomes a real header there (CVE-2024-6923, Python 3.11 and
3.12.1), and it costs 600 µs a message. Text can't fail; a mailbox whose address is no addr-spec raises `ValueError`.
"""

import base64
import hashlib
import re
from functools import lru_cache

from kinto_notify.address import Mailbox
from kinto_notify.compose.plain import one_line

CRLF = b"\r\n"
#: RFC 5322 2.1.1; a line that holds an encoded word may have two less (RFC 2047 2).
MAX_LINE = 78
_MAX_ENCODED_LINE = 76
_MAX_ENCODED_WORD = 75
_WRAPPING = len("=?utf-8?q??=")
#: A blank-free run longer than this could not be folded; it travels as encoded words, which can.
_MAX_TOKEN = 50
_MESSAGE_ID = re.compile(rb"^Message-ID: <([^@\s]+)@", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+\Z")
# What `address.parse_mailbox` lets through; checked again, since a header is the wrong place to trust.
_ADDR_SPEC = re.compile(r"[^\s\x00-\x20\x7f-\x9f<>()\[\],;:\\\"@]+@[A-Za-z0-9._-]+\Z")
# RFC 2047 5 (3): these may stand for themselves even in a display name.
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def unstructured(name: str, value: str) -> bytes:
    """Write a field of free text; a decoder shows exactly the text, on one line."""
    text = one_line(value)
    words = text.split(" ")
    if text.isascii() and "=?" not in text and max(map(len, words)) <= _MAX_TOKEN:
        return _fold(name, words, MAX_LINE)
    return _fold(name, _encoded_words(text, len(name) + 2), _MAX_ENCODED_LINE)


def for_summary(lines: bytes) -> bytes:
    """Return a recipient's header lines with another Message-ID, made of theirs: the summary is other content.

    `ValueError` if they have none.
    """
    found = _MESSAGE_ID.search(lines)
    if found is None:
        raise ValueError("no Message-ID")
    digest = hashlib.sha256(b"summary\0" + found[1]).digest()
    made = base64.b32encode(digest[:20]).lower()
    return lines[: found.start(1)] + made + lines[found.end(1) :]


def tokens(name: str, *values: str) -> bytes:
    """Write a field of blank-free ASCII tokens of our own making; anything else is a `ValueError`."""
    for value in values:
        if not _TOKEN.match(value):
            raise ValueError(f"{name}: {value!r} is no token")
    return _fold(name, list(values), MAX_LINE)


@lru_cache(maxsize=4096)  # the recipients of one subscription come again with every digest
def mailbox(name: str, box: Mailbox) -> bytes:
    """Write a field of one mailbox; `ValueError` if its address is no addr-spec.

    A non-ASCII local part stands as raw UTF-8, as RFC 6532 wants it: such a message needs SMTPUTF8 anyway.
    """
    check_address(box.address)
    if not box.name:
        return f"{name}: {box.address}".encode() + CRLF
    parts = _phrase(box.name, len(name) + 2)
    limit = _MAX_ENCODED_LINE if any(part.startswith("=?") for part in parts) else MAX_LINE
    return _fold(name, [*parts, f"<{box.address}>"], limit)


def check_address(address: str) -> None:
    """Raise `ValueError` unless the text is one plain addr-spec."""
    if not _ADDR_SPEC.match(address) or "=?" in address:
        raise ValueError(f"{address!r} is no mail address")


def _fold(name: str, parts: list[str], limit: int) -> bytes:
    """Join tokens with blanks, and a fold where the line would grow too long; the first stays with the name."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no field name")
    lines = [f"{name}: {parts[0]}"]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) > limit:
            lines.append(f" {part}")
        else:
            lines[-1] += f" {part}"
    return "\r\n".join(lines).encode() + CRLF


def _phrase(text: str, used: int) -> list[str]:
    """Write a display name: bare where it is made of atoms, quoted where that is enough, else encoded."""
    cleaned = one_line(text, 128) or '""'
    if cleaned.isascii() and "=?" not in cleaned:
        words = cleaned.split(" ")
        if _ATOMS.match(cleaned) and max(map(len, words)) <= _MAX_TOKEN:
            return words
        if len(cleaned) <= _MAX_TOKEN:
            escaped = cleaned.replace("\\", "\\\\").replace('"', '\\"')
            return [f'"{escaped}"']
    return _encoded_words(cleaned, used)


def _encoded_words(text: str, used: int) -> list[str]:
    """Write text as UTF-8 encoded words, Q or, where that is much longer, B; no character is ever split."""
    raw = text.encode("utf-8")
    quoted = [_quote(char) for char in text]
    # Q while it costs little more: a person may have to read the source.
    as_q = sum(map(len, quoted)) <= len(raw) * 2
    sizes = [len(one) if as_q else len(char.encode()) for one, char in zip(quoted, text, strict=True)]
    words: list[str] = []
    start = filled = 0
    room = _room(as_q, min(_MAX_ENCODED_WORD, _MAX_ENCODED_LINE - used))
    for index, size in enumerate(sizes):
        if filled + size > room:
            words.append(_word(text[start:index], quoted[start:index], as_q))
            start, filled, room = index, 0, _room(as_q, _MAX_ENCODED_WORD)
        filled += size
    words.append(_word(text[start:], quoted[start:], as_q))
    return words


def _room(as_q: bool, length: int) -> int:
    """Return what an encoded word of this length holds: characters of Q, bytes of B."""
    inside = length - _WRAPPING
    return inside if as_q else inside // 4 * 3


def _word(text: str, quoted: list[str], as_q: bool) -> str:
    return f"=?utf-8?q?{''.join(quoted)}?=" if as_q else f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="


def _quote(char: str) -> str:
    if char == " ":
        return "_"
    return "".join(chr(byte) if byte in _Q_SAFE else f"={byte:02X}" for byte in char.encode())
