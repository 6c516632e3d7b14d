"""What was refused of hooks is kept for those who ask: each thing once, the newest first, and bounded (D11)."""

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.hook_book import Remark
from kinto_notify.store import remarks
from kinto_notify.store.client import Client
from kinto_notify.store.erasure import Erasure
from kinto_notify.store.remarks import Remarks

HOOK = "/buckets/b#0"


async def details(client: Client) -> list[str]:
    return [one.detail for one in await Remarks(client).newest()]


async def after(client: Client, when: int) -> None:
    """Wait for Redis' clock."""
    while await client.time() <= when:
        pass


async def test_what_is_noted_again_becomes_the_newest(client: Client) -> None:
    kept = Remarks(client)
    await kept.note([])
    assert await client.redis.keys(client.key("*")) == []
    for detail in ("eve@evil.example", "mal@evil.example", "eve@evil.example"):
        await kept.note([Remark(HOOK, "recipient", detail)])
        await after(client, (await kept.newest())[0].when)
    found = await kept.newest()
    assert [(one.hook, one.kind, one.detail) for one in found] == [
        (HOOK, "recipient", "eve@evil.example"),
        (HOOK, "recipient", "mal@evil.example"),
    ]


async def test_they_are_bounded_by_number_and_age(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Remarks(client)
    await kept.note([Remark(HOOK, "slow", f"{number:04}") for number in range(remarks.MAX_REMARKS + 50)])
    found = await details(client)
    assert (len(found), min(found)) == (remarks.MAX_REMARKS, "0050")
    assert 0 < await client.redis.pttl(client.key("remarks")) <= remarks.MAX_AGE_MS
    # What is older is neither shown nor kept, were there daemons that note or not.
    oldest = dict.fromkeys(await client.redis.zrange(client.key("remarks"), 0, -1), 1)
    await client.redis.zadd(client.key("remarks"), oldest)
    assert await details(client) == []
    await kept.note([Remark(HOOK, "slow", "new")])
    assert await client.redis.zcard(client.key("remarks")) == 1


async def test_a_person_who_is_erased_is_in_none_of_them(client: Client) -> None:
    kept = Remarks(client)
    texts = ("Ann@example.org", "wrong: 'ann@EXAMPLE.org'", "ben@example.org")
    await kept.note([Remark(HOOK, "recipient", text) for text in texts])
    await Erasure(client).erase(Mailbox("", "ann@example.org"))
    assert await details(client) == ["ben@example.org"]
