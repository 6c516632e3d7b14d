"""From nothing to a session that takes mail: TCP, greeting, EHLO, TLS, login.

In: a relay and timeouts. Out: an `aiosmtplib.SMTP` ready for MAIL. Fails with `OSError` (TLS and timeouts among them)
or `SMTPException`; `at` has been told the phase that failed, and `told` puts the failure into a code and a text.
"""

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponseException

from kinto_notify.errors import ConfigError
from kinto_notify.smarthost import Relay, Tls
from kinto_notify.smtp.handover import BLOCK
from kinto_notify.smtp.outcome import SILENCE, Phase
from kinto_notify.smtp.resolver import Resolver
from kinto_notify.smtp.starttls import start_tls
from kinto_notify.smtp.timeouts import Timeouts

_FQDN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+")
_NOT_IMPLEMENTED = 504
#: The kernel is to take no more than a block beyond what the relay takes (Linux and macOS have this): else it would
#: swallow megabytes at once, and a relay that does not read would seem to have them.
_LITTLE_UNSENT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


async def connected_socket(relay: Relay, resolver: Resolver, timeout: float) -> tuple[socket.socket, str]:  # noqa: ASYNC109 - one phase of several
    """Connect to the first address that answers; return the socket and the name we go by.

    Each address has its share of the time: a dead IPv6 must not eat that of a living IPv4.
    """
    loop = asyncio.get_running_loop()
    last: OSError = OSError(f"no address for {relay.host}")
    async with asyncio.timeout(timeout):
        name = await resolver.own_name()
        found = await resolver.addresses(relay.host, relay.port)
        share = timeout / len(found)
        for family, kind, protocol, _, address in found:
            link = socket.socket(family, kind, protocol)
            link.setblocking(False)
            if _LITTLE_UNSENT is not None:
                link.setsockopt(socket.IPPROTO_TCP, _LITTLE_UNSENT, BLOCK)
            try:
                async with asyncio.timeout(share):
                    await loop.sock_connect(link, address)
            except OSError as error:
                link.close()
                last = error
            except BaseException:
                link.close()
                raise
            else:
                return link, name
    raise last


def client(relay: Relay, link: socket.socket, tls: ssl.SSLContext | None, hostname: str) -> SMTP:
    """Return the client of one connection; there is one object for each, as its lock may stay held after a failure."""
    return SMTP(
        hostname=relay.host,
        sock=link,
        use_tls=relay.tls is Tls.IMPLICIT,
        # Never None: that means STARTTLS if offered, and clear where the offer was stripped.
        start_tls=False,
        tls_context=tls,
        local_hostname=_ehlo_name(hostname, link),
    )


async def negotiate(smtp: SMTP, relay: Relay, timeouts: Timeouts, at: Callable[[Phase], None]) -> None:
    """Take the greeting, say EHLO, protect the connection, log in: all that comes before MAIL."""
    at(Phase.GREETING)
    await smtp.connect(timeout=timeouts.greeting)
    at(Phase.EHLO)
    await _ehlo(smtp, timeouts)
    if relay.tls is Tls.STARTTLS:
        at(Phase.STARTTLS)
        if not smtp.supports_extension("starttls"):
            raise SMTPException("the relay does not offer STARTTLS, and mail does not cross a network in clear")
        await start_tls(smtp, timeouts.tls)
        at(Phase.EHLO)
        await _ehlo(smtp, timeouts)
    if relay.username is not None:
        at(Phase.LOGIN)
        await _login(smtp, relay.username, relay.password or "", timeouts)


async def _ehlo(smtp: SMTP, timeouts: Timeouts) -> None:
    """Say EHLO, or HELO to a server that does not know it."""
    try:
        await smtp.ehlo(timeout=timeouts.ehlo)
    except SMTPHeloError as error:
        if not 500 <= error.code <= 599:
            raise
        await smtp.helo(timeout=timeouts.ehlo)


async def _login(smtp: SMTP, username: str, password: str, timeouts: Timeouts) -> None:
    """Log in by the first method on offer: after a 535 another try would only count against the account."""
    methods = {"plain": smtp.auth_plain, "login": smtp.auth_login}
    offered = [name for name in methods if name in smtp.server_auth_methods]
    if not offered:
        raise SMTPException("the relay offers no login that we know (PLAIN, LOGIN)")
    for name in offered:
        try:
            await methods[name](username, password, timeout=timeouts.login)
        except SMTPResponseException as error:
            # Some advertise a method they do not have.
            if error.code == _NOT_IMPLEMENTED and name != offered[-1]:
                continue
            raise SMTPResponseException(error.code, _without(error.message, username, password)) from None
        return


def _ehlo_name(hostname: str, link: socket.socket) -> str:
    """Return our name where it is a full one, else the address literal that RFC 5321 4.1.4 asks for instead."""
    if _FQDN.fullmatch(hostname):
        return hostname
    address = link.getsockname()[0].partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _without(text: str, username: str, password: str) -> str:
    """Take out of a reply what a server may repeat of the login."""
    plain = f"\0{username}\0{password}".encode()
    for secret in (base64.b64encode(plain).decode(), base64.b64encode(password.encode()).decode(), password):
        if secret:
            text = text.replace(secret, "***")
    return text


def told(error: SMTPException | OSError, phase: Phase) -> tuple[Phase, int, str]:
    """Return the phase, code and text that stand for a failure in a phase."""
    if isinstance(error, SMTPResponseException):
        return phase, error.code, error.message
    # aiosmtplib wraps a failed handshake of implicit TLS into an error of its own.
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Phase.TLS, SILENCE, f"certificate refused: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return Phase.TLS, SILENCE, f"TLS failed: {cause.reason or cause}"
    if isinstance(error, TimeoutError):
        return phase, SILENCE, "the relay does not read on" if phase is Phase.BODY else "no answer in time"
    if isinstance(error, socket.gaierror):
        return phase, SILENCE, f"no address found: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return phase, SILENCE, "connection refused"
    if isinstance(error, ConnectionError):
        return phase, SILENCE, "the connection was closed"
    return phase, SILENCE, str(error)


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return what proves a relay's name: the system's authorities, or those of a file; `ConfigError` if unreadable."""
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        raise ConfigError(f"SMTP_CA: {ca} can't be used: {error.strerror or error}") from None
