"""Whether a row of refused recipients is the relay's own fault: `Relay access denied` for everybody is no bad address.

Pure. In: refusals of recipients and the successes between them. Out: yes or no. A relay that lost our login or our
network from its list says 5xx to each recipient, and would have the whole queue buried.
"""

from kinto_notify.delivery import Reply
from kinto_notify.smtp.reasons import enhanced, of_policy

#: So many different recipients in a row. Fewer could be a digest's few bad addresses; each more is buried for nothing.
ENOUGH = 5


class Streak:
    """The recipients that were refused alike since one was last taken."""

    __slots__ = ("_kind", "_recipients")

    def __init__(self) -> None:
        self._kind: tuple[int, str | None] = (0, None)
        self._recipients: set[str] = set()

    def taken(self) -> None:
        """Note that the relay took a recipient of ours."""
        self._recipients.clear()

    def refused(self, recipient: str, reply: Reply) -> bool:
        """Note a 5xx at RCPT; tell whether it is the relay's fault and not the recipient's.

        It is from the `ENOUGH`th different recipient on that gets the same refusal by policy, if they are of several
        domains or the reply speaks of relaying: one domain alone may well have its own policy.
        """
        if not of_policy(reply):
            return False
        kind = (reply.code, enhanced(reply))
        if kind != self._kind:
            self._kind = kind
            self._recipients.clear()
        if len(self._recipients) < 2 * ENOUGH:
            self._recipients.add(recipient.casefold())
        domains = {address.rpartition("@")[2] for address in self._recipients}
        return len(self._recipients) >= ENOUGH and (len(domains) > 1 or "relay" in reply.text.lower())
