"""The values that settings take: how each kind of text is read.

Pure, but for looking whether a file or directory is there. In: the text of a variable. Out: its value. Fails with
`ValueError` that says what is wrong and what to write instead; what reads a secret never repeats it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.duration import parse_duration

REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
#: A name is a consumer's name in Redis and a label in logs: no blanks, no quoting.
_NAME = re.compile(r"[A-Za-z0-9._:@-]{1,128}\Z")
#: A comma outside of quotes: `"Doe, Jane" <jane@example.org>` is one address.
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*\Z)')
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
#: No digest, retry or trim may be a busy loop.
_LEAST_PERIOD_MS = 1_000


def choice(*allowed: str) -> Callable[[str], str]:
    """Make a reader of one of a few words, in any case."""

    def read(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text.lower()

    return read


def whole(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of a whole number within bounds."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:18]) <= most:
            raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def truth(text: str) -> bool:
    """Read yes or no."""
    if text.lower() not in _TRUTH:
        raise ValueError(f"{text!r} is neither true nor false")
    return _TRUTH[text.lower()]


def period(text: str) -> int:
    """Read a duration of at least a second."""
    if (ms := parse_duration(text)) < _LEAST_PERIOD_MS:
        raise ValueError(f"{text!r} is too short; 1s is the least")
    return ms


def instance_name(text: str) -> str:
    """Read a daemon's name."""
    if not _NAME.match(text):
        raise ValueError(f"{text!r} is not a name; use 1 to 128 letters, digits, '.', '_', ':', '@' or '-'")
    return text


def mailboxes(text: str) -> tuple[Mailbox, ...]:
    """Read a comma-separated list of addresses, each inbox once; all faults at once."""
    found: dict[str, Mailbox] = {}
    faults = []
    for part in words(text):
        try:
            mailbox = parse_mailbox(part)
            found.setdefault(mailbox.key, mailbox)
        except ValueError as fault:
            faults.append(str(fault))
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(found.values())


def globs(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of address patterns: `*@example.org`, `news-?@*`, `*`."""
    for part in words(text):
        if any(char.isspace() for char in part) or not ("@" in part or part == "*"):
            raise ValueError(f"{part!r} is not an address pattern; write it like *@example.org, or * for all")
        if not part.rpartition("@")[2].isascii():
            raise ValueError(f"{part!r}: write the domain in its ASCII form (xn--...)")
    return tuple(part.casefold() for part in words(text))


def words(text: str) -> tuple[str, ...]:
    """Part a comma-separated list; empty parts are dropped."""
    return tuple(part.strip() for part in _COMMA.split(text) if part.strip())


def existing_file(text: str) -> Path:
    """Read the path of a file that is there."""
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError(f"{text} is not a file" if path.exists() else f"there is no file {text}")
    return path


def existing_directory(text: str) -> Path:
    """Read the path of a directory that is there."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ValueError(f"{text} is not a directory" if path.exists() else f"there is no directory {text}")
    return path


def redis_url(text: str) -> str:
    """Check the address of Redis. It may hold a password: only what is expected is told."""
    scheme = text.partition("://")[0]
    if "://" not in text or scheme not in REDIS_SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(f'{one}://' for one in REDIS_SCHEMES)}")
    if any(char.isspace() for char in text):
        raise ValueError("holds a blank; percent-encode it (%20)")
    if scheme in ("redis", "rediss"):
        _authority(text)
    elif not text.partition("://")[2]:
        raise ValueError(f"names no server after {scheme}://")
    return text


def web_url(text: str) -> str:
    """Check a URL that links begin with; its last slash is dropped."""
    parts = _authority(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    if parts.username is not None or parts.query or parts.fragment.strip("/"):
        raise ValueError("must be a plain URL, without a user, a query or a fragment")
    return text.rstrip("/#")


def link_url(text: str) -> str:
    """Check a URL that a header field of mails begins with."""
    url = web_url(text)
    if not re.fullmatch(r"[A-Za-z0-9.:/\[\]%_~-]+", url):
        raise ValueError("must be in ASCII, without blanks and brackets; write other letters percent-encoded")
    return url


def bind(text: str) -> tuple[str, int] | None:
    """Read `host:port` (`[::1]:9464` for IPv6); `off` is None."""
    if text.lower() == "off":
        return None
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare and bare == host):
        raise ValueError(f"{text!r} is not host:port; write it like 127.0.0.1:9464, or off")
    try:
        return bare, whole(1, 65535)(port)
    except ValueError:
        raise ValueError(f"{text!r}: a port is a whole number from 1 to 65535") from None


def _authority(text: str) -> SplitResult:
    """Part a URL; `ValueError` without its text if it has no host or a port that is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # urllib's own text repeats the port, and where a password holds a slash the password.
        raise ValueError("is not a URL with a host and a port from 1 to 65535") from None
    if not parts.hostname or port == 0:
        raise ValueError("is not a URL with a host and a port from 1 to 65535")
    return parts
