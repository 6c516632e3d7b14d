"""Preferences: what recipients want of the mails of each subscription; they rule their own inbox.

In: a recipient's fingerprint, a subscription's key, an act. Out: what is kept from then on. `fan_out` and `lease` look
at the same keys, in the same Redis: an act holds for all daemons at once. No address is stored. Each act is one script.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from kinto_notify.store.client import Client
from kinto_notify.wish import EVERY, Preference, subscription_key

Act = Literal["on", "off", "daily", "mute"]
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept at a time of Redis (ms), of a subscription and of `every` one.

    `identity` of the subscription is empty where nobody knows it.
    """

    now: int
    preference: Preference
    identity: str
    every: Preference


class Preferences:
    """What the recipients of one namespace want."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def act(self, who: str, key: str, act: Act, *, span_ms: int = 0, identity: str = "") -> Kept:
        """Do what a recipient wants of a subscription (`EVERY`: of all); it may be repeated.

        `on` takes all back. `mute` leaves the rest as it is, for `span_ms` from now on.
        """
        return await self._run(who, key, act, span_ms, identity)

    async def show(self, who: str, key: str) -> Kept:
        """Return what is kept; nothing is changed."""
        return await self._run(who, key, "show")

    async def forget(self, who: str) -> None:
        """Forget all that a recipient wanted: mail goes out again."""
        await self._run(who, EVERY, "forget")

    async def of(self, who: str) -> dict[str, Preference]:
        """Return what a recipient wants, by the subscription's key."""
        fields = await self._client.hash(f"inbox:{who}")
        return {key: Preference.decode(kept.decode(errors="replace")) for key, kept in fields.items()}

    async def newest(self) -> AsyncIterator[tuple[str, dict[str, Preference]]]:
        """Yield the fingerprints with what they want, the last change first."""
        seen = 0
        while page := await self._client.newest("inboxes", seen, seen + _PAGE):
            seen += len(page)
            for who in page:
                if wanted := await self.of(who):
                    yield who, wanted

    async def dailies(self, known: str) -> tuple[str, dict[str, set[str]]] | None:
        """Return who wants one mail a day (see `daily.Dailies`), with a mark; None if the mark that is known stands."""
        mark = (await self._client.field("meta", "dailies") or b"").decode()
        if mark == known:
            return None
        found: dict[str, set[str]] = {}
        for pair in await self._client.newest("dailies", 0, 0):
            key, _, who = pair.partition(":")
            found.setdefault(key, set()).add(who)
        return mark, found

    async def _run(self, who: str, key: str, act: str, span_ms: int = 0, identity: str = "") -> Kept:
        told = await self._client.run("prefer", self._client.key("inboxes"), [who, key, identity, act, span_ms])
        assert isinstance(told, list)
        now, *texts = told
        kept, known, every = (text.decode(errors="replace") for text in texts)
        return Kept(int(now), Preference.decode(kept), known, Preference.decode(every))


def key_of(identity: str) -> str:
    """Return the key under which the wishes for a subscription stand."""
    return EVERY if identity == EVERY else subscription_key(identity)
