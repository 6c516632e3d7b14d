"""A smarthost that takes so many mails a second and throttles the rest, as Amazon's does."""

import time

from support.smtp_script import Act, Connection, Mail, say
from support.smtp_server import SmtpServer


class ThrottlingServer(SmtpServer):
    """Takes at most `per_second` mails in any second; `throttled` are the times at which it refused one."""

    def __init__(self, per_second: int) -> None:
        super().__init__()
        self.per_second = per_second
        self.throttled: list[float] = []

    async def _step(self, connection: Connection, phase: str, normal: str | Act, mail: Mail | None = None) -> Act:
        now = time.monotonic()
        if phase == "dot" and sum(now - one.at < 1 for one in self.mails) >= self.per_second:
            self.throttled.append(now)
            normal, mail = say("454 4.7.0 Throttling failure: Maximum sending rate exceeded."), None
        return await super()._step(connection, phase, normal, mail)
