"""A smarthost with faults at random: of each hundred transactions some are dropped, stalled or turned away for now.

Nothing is refused for good, so nothing may end in the dead letters. `dropped` counts, by Message-ID, the mails that it
took without saying so: each of these may come once more.
"""

import asyncio
import random
from collections import Counter

from support.smtp_script import Act, Connection, Mail, drop, say
from support.smtp_server import SmtpServer

#: The reply to the dot takes so long, in seconds: it is then that a kill finds mails in flight.
THINKS_S = (0.02, 0.1)
#: How long a stalled reply takes, in seconds.
STALL_S = (0.5, 3.0)
#: Where a fault comes, its share of all faults, and its name.
FAULTS = (
    ("mail", 0.10, "421"),
    ("rcpt", 0.25, "450"),
    ("data", 0.15, "stall"),
    ("dot", 0.20, "taken and dropped"),
    ("dot", 0.10, "dropped"),
    ("dot", 0.20, "451"),
)


class FaultySmarthost(SmtpServer):
    """`rate` of its transactions fail, in the order of the seed."""

    def __init__(self, seed: int, rate: float) -> None:
        super().__init__()
        self._dice, self._rate = random.Random(seed), rate
        self.dropped: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    async def _step(self, connection: Connection, phase: str, normal: str | Act, mail: Mail | None = None) -> Act:
        if isinstance(normal, str) and normal[0] in "23":
            for where, share, name in FAULTS:
                if where == phase and self._dice.random() < self._rate * share:
                    self.faults[name] += 1
                    normal = self._fault(name, normal, mail)
                    break
            else:
                if phase == "dot":
                    normal = self._after(THINKS_S, normal)
        return await super()._step(connection, phase, normal, mail)

    def _fault(self, name: str, normal: str, mail: Mail | None) -> Act:
        if name == "stall":
            return self._after(STALL_S, normal)
        if name == "taken and dropped":
            assert mail is not None
            self.dropped[mail.message_id or ""] += 1
            return drop(accept=True)
        if name == "dropped":
            return drop(accept=False)
        return say(f"{name} 4.3.0 not now", close=name == "421")

    def _after(self, seconds: tuple[float, float], reply: str) -> Act:
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(self._dice.uniform(*seconds), gate.set)
        return say(reply, gate=gate)
