"""Notices: what the operator has not been told yet, and the one step that tells it once, over all daemons."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

from kinto_notify.address import Mailbox
from kinto_notify.notice import NOTICE_IDENTITY, Found, Notice, plain_reason
from kinto_notify.store.circuits import Circuits
from kinto_notify.store.client import Argument, Client, translated

#: Dead letters that are looked at for one notice; of more only the number is told.
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class NoticeMail:
    """A composed notice: one recipient, and what its delivery holds."""

    ident: str
    sender: str
    recipient: Mailbox
    headers: bytes
    body: bytes


class Notices:
    """The notices of one namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def look(self, now: int) -> Found:
        """Return what there is to tell. The first look of all begins with it: what died before is no news."""
        key, dead = self._client.key("notice"), self._client.key("dead")
        async with translated():
            await self._client.redis.hsetnx(key, "since", str(now - 1))
            marks = cast(list[bytes | None], await self._client.redis.hmget(key, ["since", "last"]))
            since, last = (int(one or 0) for one in marks)
            # Up to the millisecond before: in this one more may die yet.
            window = (f"({since}", now - 1)
            told = await self._client.redis.zrangebyscore(dead, *window, start=0, num=_MOST, withscores=True)
            found = cast(list[tuple[bytes, float]], told)
            number = int(await self._client.redis.zcount(dead, *window))
        rows = await self._client.hashes("dead", [ident.decode() for ident, _ in found], ("kind", "reason", "identity"))
        reasons: Counter[str] = Counter()
        oldest = None
        for row, (_, when) in zip(rows, found, strict=True):
            if row and row.get("identity") != NOTICE_IDENTITY.encode():
                kind, reason = (row.get(name, b"").decode(errors="replace") for name in ("kind", "reason"))
                reasons[plain_reason(kind, reason)] += 1
                oldest = int(when) if oldest is None else oldest
        outages = tuple((await Circuits(self._client).all(now)).values())
        return Found(last, since, reasons, oldest, number - len(found), outages)

    async def make(self, notice: Notice, found: Found, mail: NoticeMail) -> bool:
        """Make the delivery and note all of it as told; False if another daemon has made one since the look."""
        closed = [
            key
            for key, one in (await Circuits(self._client).all(notice.made)).items()
            if one.closed is not None and one in notice.outages
        ]
        arguments: list[Argument] = [found.last, notice.made, NOTICE_IDENTITY, mail.ident, mail.recipient.fingerprint]
        arguments += [mail.sender, mail.recipient.address, mail.headers, mail.body, int(mail.recipient.smtputf8)]
        arguments += closed
        return await self._client.run("notice", self._client.key("deliveries"), arguments) == 1
