"""Who may see the pages for the operator: this machine, and from beyond it whoever has `ADMIN_TOKEN`.

Pure. In: the peer's address, what its request says, the token. Out: whether it is admitted. A request that a proxy has
passed on comes from beyond, whatever address the proxy has; so does one whose peer has no address.
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping

#: By one of these a proxy says for whom it asks.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")


def admitted(peer: str | None, headers: Mapping[str, str], token: str | None) -> bool:
    """Tell whether a request may see what is the operator's; the token is compared in constant time."""
    return _from_here(peer, headers) or (token is not None and _has(headers.get("Authorization", ""), token))


def may_act(headers: Mapping[str, str], typed: str, token: str) -> bool:
    """Tell whether a request may change something: it brings the token itself, typed into the form or as a bearer's.

    Never as the password of a login, which a browser sends along with whatever another site makes it send.
    """
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    secret = typed or (given.strip() if scheme.lower() == "bearer" else "")
    return hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), token.encode())


def from_another_site(headers: Mapping[str, str]) -> bool:
    """Tell whether another site made a browser send this, by what the browser says: such a one never may act."""
    return headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


def _from_here(peer: str | None, headers: Mapping[str, str]) -> bool:
    if any(name in headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _has(authorization: str, token: str) -> bool:
    """Tell whether the token is there: as a bearer's, or as the password of any user."""
    scheme, _, given = authorization.partition(" ")
    secret = given.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            secret = base64.b64decode(secret, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(secret, token.encode())
