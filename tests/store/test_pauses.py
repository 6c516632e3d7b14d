"""Pauses: what is paused is filed and not due, in any order of pausing and filing; a flush sends all the same."""

from dataclasses import replace

import pytest

from kinto_notify.digest import DigestRules
from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from kinto_notify.store.overview import Overview, overview
from kinto_notify.store.pauses import EVERY, PARKED_MS, Flushed, Pauses
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing, key

S, T = key("s"), key("t")


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


@pytest.fixture
def pauses(client: Client) -> Pauses:
    return Pauses(client)


async def file(client: Client, stream: Stream, *names: str, group: str = "c", rules: DigestRules | None = None) -> int:
    """File one event of one change for each named subscription; return what `file` says of the soonest due time."""
    (one,) = await entries(client, stream, 1)
    filings = [filing("r", to=key(name, group), rules=rules) for name in names]
    return (await stream.file([filed(one, *filings)], [])).soonest


async def due(client: Client) -> list[str]:
    """Freeze what is due: the names of its subscriptions, and how many changes each digest has."""
    found = await Digests(client).freeze(100)
    return sorted(f"{one.key.identity.partition('#')[2]} {one.changes}" for one in found)


async def numbers(client: Client) -> tuple[int, int, int]:
    seen: Overview = await overview(client)
    return seen.open_digests, seen.due_digests, seen.paused_digests


async def test_what_is_filed_while_paused_is_not_due(client: Client, stream: Stream, pauses: Pauses) -> None:
    assert await pauses.pause(S.identity)
    assert not await pauses.pause(S.identity)
    assert await file(client, stream, "s") == -1, "nobody is woken for it"
    assert await file(client, stream, "s", "t") == 0
    assert await numbers(client) == (2, 1, 1)
    assert await due(client) == ["t 1"]
    assert await due(client) == []
    assert await pauses.resume(S.identity) == 1
    assert await due(client) == ["s 2"], "one digest, with all that came"
    assert await client.redis.keys(client.key("paused")) == []


async def test_what_was_open_when_it_was_paused_waits_too(client: Client, stream: Stream, pauses: Pauses) -> None:
    await file(client, stream, "s", "t")
    await pauses.pause(S.identity)
    assert await due(client) == ["t 1"]
    assert await numbers(client) == (1, 0, 1)
    await file(client, stream, "s")
    assert await due(client) == []
    await pauses.resume(S.identity)
    assert await due(client) == ["s 2"]


async def test_a_pause_of_all_and_one_of_its_own(client: Client, stream: Stream, pauses: Pauses) -> None:
    await pauses.pause(EVERY)
    await pauses.pause(S.identity)
    await file(client, stream, "s", "t")
    assert await due(client) == []
    assert list(await pauses.all()) == [EVERY, S.identity]
    assert await pauses.resume(S.identity) == 1
    assert await due(client) == [], "all are still paused"
    await pauses.pause(S.identity)
    assert await pauses.resume(EVERY) == 2
    assert await due(client) == ["s 1", "t 1"]
    assert await pauses.resume(EVERY) == 0


async def test_only_what_is_not_paused_any_more_comes_back(client: Client, stream: Stream, pauses: Pauses) -> None:
    await pauses.pause(S.identity)
    await pauses.pause(T.identity)
    for number in range(3):
        await file(client, stream, "s", "t", group=str(number))
    await pauses.resume(T.identity)
    assert await numbers(client) == (6, 3, 3)
    assert await due(client) == ["t 1"] * 3


async def test_the_due_time_it_had_comes_back(client: Client, stream: Stream, pauses: Pauses) -> None:
    """A pause shorter than the digest's wait changes nothing."""
    await pauses.pause(S.identity)
    await file(client, stream, "s", rules=DigestRules(wait=3_600_000, interval=0))
    ((_, parked),) = await client.redis.zrange(client.key("due"), 0, -1, withscores=True)
    await pauses.resume(S.identity)
    ((_, back),) = await client.redis.zrange(client.key("due"), 0, -1, withscores=True)
    assert back == parked - PARKED_MS
    assert 3_590_000 < back - await client.time() <= 3_600_000


async def test_many_that_are_paused_keep_no_other_from_being_seen(
    client: Client, stream: Stream, pauses: Pauses
) -> None:
    """They all became due before the other one, and a freeze takes one digest only."""
    for number in range(8):
        await file(client, stream, "s", group=str(number))
    await pauses.pause(S.identity)
    await file(client, stream, "t")
    (found,) = await Digests(client).freeze(1)
    assert found.key == T


async def test_a_resume_that_was_killed_is_finished(client: Client, stream: Stream, pauses: Pauses) -> None:
    await pauses.pause(S.identity)
    await file(client, stream, "s")
    await pauses.finish()
    assert await due(client) == [], "nobody resumed it"
    # What the first step of a resume leaves.
    await client.redis.hset(client.key("paused"), mapping={"resuming": 1})
    await client.redis.hdel(client.key("paused"), S.identity)
    assert list(await pauses.all()) == []
    assert await due(client) == []
    await pauses.finish()
    assert await due(client) == ["s 1"]


async def test_a_resume_of_more_than_one_script_takes(client: Client, stream: Stream, pauses: Pauses) -> None:
    await pauses.pause(S.identity)
    await pauses.pause(T.identity)
    for start in range(0, 1100, 100):
        (one,) = await entries(client, stream, 1)
        many = [filing("r", to=key(name, str(start + n))) for n in range(100) for name in ("s", "t")]
        await stream.file([filed(one, *many)], [])
    assert await numbers(client) == (2200, 0, 2200)
    await pauses.resume(T.identity)
    assert await numbers(client) == (2200, 1100, 1100)


async def test_a_flush_sends_what_is_paused(client: Client, stream: Stream, pauses: Pauses) -> None:
    """And what comes before it is frozen goes with it; what comes after it waits again."""
    await pauses.pause(EVERY)
    await file(client, stream, "s", "t")
    assert await pauses.flush(S.identity) == Flushed(1, 1)
    assert await file(client, stream, "s", rules=DigestRules(wait=3_600_000)) == 0
    assert await due(client) == ["s 2"]
    await file(client, stream, "s")
    assert await due(client) == []
    assert await pauses.flush(EVERY) == Flushed(2, 2)
    assert await due(client) == ["s 1", "t 1"]


async def test_a_flush_does_not_wait_for_the_interval(client: Client, stream: Stream, pauses: Pauses) -> None:
    slow = DigestRules(wait=0, interval=3_600_000)
    await file(client, stream, "s", rules=slow)
    assert await due(client) == ["s 1"]
    await file(client, stream, "s", rules=slow)
    assert await due(client) == []
    await pauses.flush(S.identity)
    assert await due(client) == ["s 1"]


async def test_what_is_discarded_is_gone_for_good(client: Client, stream: Stream, pauses: Pauses) -> None:
    """A bulk import that must mail nobody. The events stay known: a copy does not bring them back."""
    await file(client, stream, "t")
    await pauses.pause(S.identity)
    (one,) = await entries(client, stream, 1)
    await stream.file([filed(one, filing("a", "b", to=S), event="known")], [])
    assert await pauses.flush(S.identity, discard=True) == Flushed(1, 2)
    await pauses.resume(S.identity)
    assert await due(client) == ["t 1"]
    (copy,) = await entries(client, stream, 1)
    again = replace(filed(one, filing("a", "b", to=S), event="known"), entry=copy.id)
    assert (await stream.file([again], [])).known == 1
    assert await client.redis.keys(client.key("lines:*")) == []
    assert (await overview(client)).totals["discarded"] == 2


async def test_the_names_of_what_is_open(client: Client, stream: Stream, pauses: Pauses) -> None:
    assert await pauses.identities() == set()
    await file(client, stream, "s", "t")
    assert await pauses.identities() == {S.identity, T.identity}
