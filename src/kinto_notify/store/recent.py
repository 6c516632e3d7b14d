"""What the status page shows: the digests that are open, the last mails, the dead letters. Reads, and changes nothing.

In: one namespace. Out: a `Recent` with no address in it: recipients go by their fingerprint. Of each kind at most some
hundreds are looked at, so that a page costs Redis milliseconds however much waits. Fails with `StoreUnavailable`.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from kinto_notify.store.client import Client, translated
from kinto_notify.store.dead import DeadLetter, DeadLetters
from kinto_notify.store.overview import Overview, overview
from kinto_notify.store.pauses import PARKED_MS

#: Open digests whose subscriptions are counted; those that are due first.
COUNTED = 1_000
#: Steps of the trail, and mails, in which the last mail of each subscription is looked for.
_LOOKED_AT = 1_000
#: Deliveries and dead letters that are read; a page lists fewer.
_FEW, _DEAD = 20, 200
_Steps = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class OpenDigest:
    """An open digest: `due` in milliseconds, also where a pause puts it off; `group` as words and values."""

    identity: str
    group: tuple[tuple[str, str], ...]
    changes: int
    due: int
    paused: bool


@dataclass(frozen=True, slots=True)
class RecentMail:
    """A mail: `state` is sent, unwanted or waiting, `at` (ms) when that was or will be; `told` is the last reply."""

    identity: str
    recipient: str
    state: str
    at: int
    told: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Recent:
    """All of it, at `now` (ms). `digests` are those due first, `opened` how many of `COUNTED` each subscription has."""

    now: int
    overview: Overview
    digests: tuple[OpenDigest, ...]
    opened: Mapping[str, int]
    waiting: tuple[RecentMail, ...]
    mails: tuple[RecentMail, ...]
    last_mail: Mapping[str, int]
    dead: tuple[DeadLetter, ...]


async def recent(client: Client) -> Recent:
    """Look at everything once."""
    now = await client.time()
    digests, opened = await _digests(client)
    mails = await _mails(client)
    last: dict[str, int] = {}
    for mail in mails:
        if mail.state == "sent" and mail.identity:
            last.setdefault(mail.identity, mail.at)
    dead = []
    async for letter in DeadLetters(client).newest():
        dead.append(letter)
        if len(dead) == _DEAD:
            break
    waiting = await _waiting(client)
    return Recent(now, await overview(client), digests, opened, waiting, tuple(mails[:_FEW]), last, tuple(dead))


async def _digests(client: Client) -> tuple[tuple[OpenDigest, ...], Mapping[str, int]]:
    async with translated():
        told = await client.redis.zrange(client.key("due"), 0, COUNTED - 1, withscores=True)
    due = [(ident.decode(), int(score)) for ident, score in cast(list[tuple[bytes, float]], told)]
    shown = await client.hashes("digest", [ident for ident, _ in due[:_FEW]], ("identity", "group", "changes"))
    rest = await client.hashes("digest", [ident for ident, _ in due[_FEW:]], ("identity",))
    opened = Counter(row["identity"].decode() for row in (*shown, *rest) if "identity" in row)
    digests = tuple(
        OpenDigest(
            row["identity"].decode(),
            tuple((word, value) for word, value in json.loads(row["group"])),
            int(row.get("changes", b"0")),
            score % PARKED_MS,
            score >= PARKED_MS,
        )
        for (_, score), row in zip(due, shown, strict=False)
        # It was frozen since the first look.
        if "group" in row
    )
    return digests, opened


async def _mails(client: Client) -> list[RecentMail]:
    """Return the last mails that ended, the newest first; whose they were is told by the trail."""
    async with translated():
        pipe = client.redis.pipeline(transaction=False)
        for name in ("trail", "outcomes"):
            pipe.xrevrange(client.key(name), count=_LOOKED_AT)
        trail, outcomes = cast(tuple[_Steps, _Steps], await pipe.execute())
    whose = {step[b"f"]: step[b"i"].decode() for _, step in trail if b"f" in step}
    found = []
    for ident, step in outcomes:
        digest, _, recipient = step[b"d"].decode().partition(":")
        state, told = ("unwanted", step[b"u"]) if b"u" in step else ("sent", step.get(b"r", b""))
        at = int(ident.partition(b"-")[0])
        found.append(RecentMail(whose.get(digest.encode(), ""), recipient, state, at, told.decode(errors="replace")))
    return found


async def _waiting(client: Client) -> tuple[RecentMail, ...]:
    async with translated():
        told = await client.redis.zrange(client.key("deliveries"), 0, _FEW - 1, withscores=True)
    due = [(ident.decode(), int(score)) for ident, score in cast(list[tuple[bytes, float]], told)]
    rows = await client.hashes("delivery", [ident for ident, _ in due], ("identity", "attempts", "reply"))
    return tuple(
        RecentMail(
            row["identity"].decode(),
            ident.rpartition(":")[2],
            "waiting",
            at,
            row.get("reply", b"").decode(errors="replace"),
            int(row.get("attempts", b"0")),
        )
        for (ident, at), row in zip(due, rows, strict=True)
        if "identity" in row
    )
