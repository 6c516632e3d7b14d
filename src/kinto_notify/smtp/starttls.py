"""STARTTLS, and nothing else in clear behind its answer.

In: a connected client. Out: the same inside TLS. Fails with `OSError` or `SMTPException`, the connection closed before
the handshake, where the relay (or whoever sits between) said more than its answer: replies in clear that would
otherwise be taken for answers to commands inside TLS (CVE-2011-0411, nostarttls.secvuln.info).
"""

import re

from aiosmtplib import SMTP, SMTPException

from kinto_notify.smtp.passing import Passing

_REPLY = re.compile(rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n")


async def start_tls(smtp: SMTP, timeout: float) -> None:  # noqa: ASYNC109 - one phase of several
    """Go into TLS; a success is proof that nothing was said in clear behind the 220."""
    if smtp.transport is None:
        raise ConnectionError("the connection was closed")
    with _OneReply(smtp.transport) as guard:
        try:
            await smtp.starttls(timeout=timeout)
        except SMTPException:
            if guard.injected:
                raise SMTPException("the relay said more in clear than its answer, which may be forged") from None
            raise


class _OneReply(Passing):
    """Cuts the connection at the first byte that follows one reply."""

    _seen = b""
    injected = False

    def data_received(self, data: bytes) -> None:
        self._seen += data
        found = _REPLY.match(self._seen)
        if found and len(found[0]) < len(self._seen):
            self.injected = True
            self._transport.abort()
        else:
            super().data_received(data)
