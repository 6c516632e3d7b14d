"""Recipients: what relays said of an address, and whether mail to it is suppressed.

In: an address. Out: what Redis keeps of it, by its fingerprint, where a relay called it unknown: for 30 days after the
last time. `settle` writes it and forgets it when a mail was taken, `lease` looks at it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from kinto_notify.address import Mailbox
from kinto_notify.store.client import Client

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Recipient:
    """What is kept of an address. `when` it was last called unknown and since when it is suppressed: milliseconds."""

    address: str
    unknown: int
    when: int
    reply: str
    suppressed: int | None


class Recipients:
    """The recipients of one namespace of which something is kept."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def newest(self) -> AsyncIterator[Recipient]:
        """Yield them, the one that was last called unknown first."""
        seen = 0
        while fingerprints := await self._client.newest("recipients", seen, seen + _PAGE):
            seen += len(fingerprints)
            for fingerprint in fingerprints:
                found = await self._get(fingerprint)
                if found is not None:
                    yield found

    async def get(self, mailbox: Mailbox) -> Recipient | None:
        """Return what is kept of an address, or None."""
        return await self._get(mailbox.fingerprint)

    async def _get(self, fingerprint: str) -> Recipient | None:
        fields = await self._client.hash(f"recipient:{fingerprint}")
        if not fields:
            return None
        return Recipient(
            address=fields["address"].decode(errors="replace"),
            unknown=int(fields["unknown"]),
            when=int(fields["when"]),
            reply=fields["reply"].decode(errors="replace"),
            suppressed=int(fields["suppressed"]) if "suppressed" in fields else None,
        )

    async def resubscribe(self, mailbox: Mailbox) -> bool:
        """Forget what relays said of an address, so that mail to it goes out; tell whether it was suppressed."""
        return bool(await self._client.run("resubscribe", self._client.key("recipients"), [mailbox.fingerprint]))
