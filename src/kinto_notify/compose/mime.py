"""The MIME body: a text and an HTML part as 7-bit `multipart/alternative`.

In: two texts, a boundary, and the slot where a recipient's token will stand. Out: bytes with CRLF line ends only, no
line over 78 characters, no byte over 127, so that neither 8BITMIME nor a relay's rewriting matters, and no record can
smuggle a line into the SMTP dialogue. Never fails.
"""

import base64
import binascii
import hashlib
from functools import lru_cache

from kinto_notify.compose.plain import body_text

_MAX_LINE = 78
#: A longer line is not remembered: a hook's text may be one line of 64 KiB, and another one in each mail.
_MAX_KNOWN = 1_000


@lru_cache(64)
def boundary(seed: str) -> str:
    """Derive a boundary: stable over retries, and with `=_` in it, which quoted-printable and base64 never write."""
    return "=_" + hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def alternative(text: str, html: str, mark: str, slot: str = "") -> bytes:
    """Write the parts, the poorest first, as RFC 2046 5.1.4 has it.

    `slot` survives the encoding as it is, whatever of its length (at most 75) and alphabet (of base64url) is put there.
    """
    delimiter = b"--" + mark.encode()
    parts = (_part("plain", text, mark, slot), _part("html", html, mark, slot))
    return b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--\r\n"


def _part(subtype: str, text: str, mark: str, slot: str) -> bytes:
    stripped = text.rstrip("\n") + "\n"
    encoding, encoded = _encode(stripped, mark) if not slot or slot not in stripped else _with_slots(stripped, slot)
    return b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        subtype.encode(),
        encoding,
        encoded.replace(b"\n", b"\r\n"),
    )


def _encode(text: str, mark: str) -> tuple[bytes, bytes]:
    """Return the transfer encoding that is shortest, and the text in it with LF line ends."""
    if text.isascii():
        cleaned = body_text(text)
        if mark not in cleaned and _fits(cleaned):
            return b"7bit", cleaned.encode()
    if "\r" in text:
        # With the line feed after it, it is one line break.
        text = body_text(text)
    quoted = b"\n".join([_known(line) if len(line) <= _MAX_KNOWN else _quoted(line) for line in text.split("\n")])
    if len(quoted) <= len(text) * 4 // 3:
        return b"quoted-printable", quoted
    raw = body_text(text).encode("utf-8")
    if len(quoted) <= (len(raw) + 2) // 3 * 4:
        return b"quoted-printable", quoted
    # In base64 a line end is data: the canonical form (RFC 2045 6.8) is CRLF.
    return b"base64", base64.encodebytes(raw.replace(b"\n", b"\r\n"))


@lru_cache(1024)  # most lines of a page are the template's, and come again in every mail
def _known(line: str) -> bytes:
    return _quoted(line)


def _quoted(line: str) -> bytes:
    """Write one line as quoted-printable; what other readers take for line breaks becomes some."""
    # `istext` keeps the line breaks; the other mode would write them as =0A.
    return binascii.b2a_qp(body_text(line).encode("utf-8"), quotetabs=False, istext=True)


def _with_slots(text: str, slot: str) -> tuple[bytes, bytes]:
    """Write quoted-printable with each slot on a line of its own, between soft breaks, where it stands for itself."""
    # The letter keeps the last line of each piece short enough for the soft break, and its blanks from its end.
    pieces = body_text(text).split(slot)
    written = [binascii.b2a_qp(f"{piece}x".encode(), quotetabs=False, istext=True)[:-1] for piece in pieces]
    return b"quoted-printable", (b"=\n" + slot.encode() + b"=\n").join(written)


def _fits(text: str) -> bool:
    # A blank at a line's end gets lost on the way; "From " is quoted by mbox writers.
    return all(
        len(line) <= _MAX_LINE and not line.endswith((" ", "\t")) and not line.startswith("From ")
        for line in text.split("\n")
    )
