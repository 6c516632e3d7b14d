"""Where mail is handed in: the relays of `SMTP_URL`, parsed once.

Pure. In: the text of `SMTP_URL` (a comma-separated list fails over from left to right) and the login of
`SMTP_USERNAME` and `SMTP_PASSWORD`. Out: `Relay`s. Fails with one `ValueError` that names every fault and no secret.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote_to_bytes


class Tls(Enum):
    """How a connection is protected; `STARTTLS` is required, never merely tried (a stripped offer is a fault)."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Relay:
    """One smarthost. `host` is a name in ASCII or an IP address without brackets; a login has both parts or none."""

    host: str
    port: int
    tls: Tls
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_PORTS = {"smtp": 25, "smtps": 465, "smtp+insecure": 25}
# One DNS name in ASCII; the underscore is no host name but is found in container networks.
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine by its very name or address, without asking the DNS."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_relays(text: str, username: str | None = None, password: str | None = None) -> tuple[Relay, ...]:
    """Read `SMTP_URL`: `smtp://`, `smtps://` or `smtp+insecure://`, then `[user[:password]@]host[:port]`.

    `smtp://` requires STARTTLS but on loopback, where it is clear; so a login crosses a network in clear only where
    `smtp+insecure://` says so. A login in the URL wins over the arguments; a user alone takes the password argument.
    """
    relays: list[Relay] = []
    faults: list[str] = []
    for number, item in enumerate(text.split(","), 1):
        try:
            relays.append(_relay(item.strip(), username, password))
        except ValueError as fault:
            # The number, not the text: what does not parse may hold a password anywhere.
            faults.append(f"relay {number}: {fault}")
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(relays)


def _relay(item: str, username: str | None, password: str | None) -> Relay:
    """Read one URL; the texts of its faults repeat nothing that stood before the host."""
    scheme, found, rest = item.partition("://")
    scheme = scheme.lower()
    if not found or scheme not in _PORTS:
        raise ValueError("must begin with smtp://, smtps:// or smtp+insecure://")
    if any(char in rest.rstrip("/") for char in "/?#"):
        raise ValueError(
            "a path or query has no meaning here (in a password '/', '?', '#' are %2F, %3F, %23; ',' is %2C)"
        )
    login, _, place = rest.rstrip("/").rpartition("@")
    if login:
        user, colon, secret = login.partition(":")
        username, password = _decoded(user, "user"), _decoded(secret, "password") if colon else password
    if (username is None) != (password is None):
        raise ValueError("a login needs a user and a password; one of them is missing")
    if username == "":
        raise ValueError("the user is empty")
    host, port = _place(place)
    tls = Tls.IMPLICIT if scheme == "smtps" else Tls.CLEAR if scheme == "smtp+insecure" else Tls.STARTTLS
    if scheme == "smtp" and is_loopback(host):
        tls = Tls.CLEAR
    return Relay(host, port or _PORTS[scheme], tls, username, password)


def _decoded(text: str, what: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"the {what} is not UTF-8 after percent-decoding") from None
    if _CONTROL.search(decoded):
        raise ValueError(f"the {what} holds a control character")
    return decoded


def _place(text: str) -> tuple[str, int | None]:
    """Split `host[:port]` or `[IPv6][:port]`."""
    if text.startswith("["):
        host, bracket, tail = text[1:].partition("]")
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            bracket = ""
        if not bracket or tail[:1] not in ("", ":"):
            raise ValueError("what stands in brackets is not an IPv6 address")
        port = tail[1:] if tail else None
    else:
        host, colon, after = text.partition(":")
        port = after if colon else None
        host = _name(host)
    if port is None:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError("the port is not a number from 1 to 65535 (an IPv6 address stands in brackets)")
    return host, int(port)


def _name(host: str) -> str:
    if not host:
        raise ValueError("the host is missing")
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        ascii_host = ""
    if not _HOST.fullmatch(ascii_host):
        raise ValueError("the host is not a host name")
    return ascii_host
