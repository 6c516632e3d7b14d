"""Timetables in the store: what is filed is due when its timetable allows it, and frozen only then."""

import uuid
from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import pytest
import redis as sync_redis

from kinto_notify.digest import DigestRules
from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from kinto_notify.store.pauses import Pauses
from kinto_notify.store.stream import Stream
from kinto_notify.timetable import Timetable
from support.filings import entries, filed, filing, key

MINUTE, DAY = 60_000, 86_400_000
UTC = ZoneInfo("UTC")


@pytest.fixture
async def client(server: sync_redis.Redis) -> AsyncIterator[Client]:
    port = server.connection_pool.connection_kwargs["port"]
    made = Client(f"redis://127.0.0.1:{port}/0", f"t-{uuid.uuid4().hex[:12]}")
    yield made
    await made.close()


async def file(client: Client, rules: DigestRules, *lines: str) -> int:
    """File one event; return when its digest is due."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    await stream.file([filed(entry, filing(*lines, to=key(), rules=rules))], [])
    ((_, due),) = await client.redis.zrange(client.key("due"), 0, -1, withscores=True)
    return int(due)


def minute_of_day(instant: int) -> int:
    return instant % DAY // MINUTE


async def test_at_is_due_at_its_time_whatever_was_mailed_before(client: Client) -> None:
    now = await client.time()
    at = (minute_of_day(now) + 90) % 1440
    due = await file(client, DigestRules(timetable=Timetable(UTC, (at,))), "r1")
    assert minute_of_day(due) == at
    assert 88 * MINUTE < due - now <= 90 * MINUTE
    # A later change of the same digest does not move it.
    assert await file(client, DigestRules(timetable=Timetable(UTC, (at,))), "r2") == due
    assert not await Digests(client).freeze(10)


async def test_a_time_that_has_come_is_not_put_off_to_tomorrow(client: Client) -> None:
    rules = DigestRules(timetable=Timetable(UTC, ((minute_of_day(await client.time()) + 90) % 1440,)))
    await file(client, rules, "r1")
    (ident,) = await client.redis.zrange(client.key("due"), 0, -1)
    # All daemons were down when it came.
    past = await client.time() - MINUTE
    await client.redis.zadd(client.key("due"), {ident: past})
    assert await file(client, rules, "r2") == past
    (digest,) = await Digests(client).freeze(10)
    assert digest.changes == 2


async def test_quiet_hours_hold_what_is_filed_in_them(client: Client) -> None:
    now = await client.time()
    start, end = (minute_of_day(now) - 60) % 1440, (minute_of_day(now) + 60) % 1440
    due = await file(client, DigestRules(wait=0, interval=0, timetable=Timetable(UTC, quiet=(start, end))), "r1")
    assert minute_of_day(due) == end
    assert not await Digests(client).freeze(10)


async def test_what_was_due_before_quiet_hours_waits_for_their_end_too(client: Client) -> None:
    now = await client.time()
    rules = DigestRules(wait=0, interval=0)
    await file(client, rules, "r1")
    (ident,) = [name.decode() for name in await client.redis.zrange(client.key("due"), 0, -1)]
    # The daemons come back in the middle of the night.
    await client.redis.hset(client.key(f"digest:{ident}"), "closed", f"{now - MINUTE} {now + 10 * MINUTE}")
    assert not await Digests(client).freeze(10)
    assert await client.redis.zscore(client.key("due"), ident) == now + 10 * MINUTE


async def test_a_flush_is_past_all_of_it_and_a_pause_holds_all_of_it(client: Client) -> None:
    now = await client.time()
    start, end = (minute_of_day(now) - 60) % 1440, (minute_of_day(now) + 60) % 1440
    rules = DigestRules(wait=0, interval=0, timetable=Timetable(UTC, quiet=(start, end)))
    due = await file(client, rules, "r1")
    pauses = Pauses(client)
    await pauses.pause(key().identity)
    await file(client, rules, "r2")
    await pauses.resume(key().identity)
    ((_, again),) = await client.redis.zrange(client.key("due"), 0, -1, withscores=True)
    assert again == due
    await pauses.flush(key().identity)
    (digest,) = await Digests(client).freeze(10)
    assert digest.changes == 2


async def test_while_no_relay_takes_mail_a_digest_goes_on_gathering(client: Client) -> None:
    rules = DigestRules(wait=0, interval=0)
    await file(client, rules, "r1")
    assert not await Digests(client).freeze(10, 0)
    await file(client, rules, "r2")
    (digest,) = await Digests(client).freeze(10, 1)
    assert digest.changes == 2
