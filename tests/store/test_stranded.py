"""R19: XGROUP DELCONSUMER takes entries out of every pending list; no daemon would ever be given them again."""

import pytest

from kinto_notify.intake import FATAL_TIMES, Intake
from kinto_notify.store import stream as stream_module
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.stream import Poison, Stream
from kinto_notify.telemetry import Telemetry
from kinto_notify.wire import GROUP
from support.events import change, event, fields
from support.filings import entries, filed, filing
from support.subscribed import catalogue_of, subscribe


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


def intake(client: Client, stream: Stream, telemetry: Telemetry | None = None) -> Intake:
    catalogue = catalogue_of(subscribe())
    return Intake(
        stream, Alone(client), lambda: catalogue, telemetry or Telemetry(), keep_ms=60_000, due=lambda delay: None
    )


async def publish(client: Client, number: int) -> None:
    for index in range(number):
        await client.redis.xadd(client.stream, fields(event(change(f"r{index}"))))


async def deleted(client: Client, number: int) -> list[str]:
    """So many entries were handed out to a consumer that somebody deleted; their ids."""
    await publish(client, number)
    found = await Stream(client, "deleted").read()
    assert await client.redis.xgroup_delconsumer(client.stream, GROUP, "deleted") == len(found) == number
    return [entry.id for entry in found]


async def totals(client: Client) -> tuple[int, int]:
    told = await client.hash("totals")
    return int(told.get("events", 0)), int(told.get("known", 0))


async def test_r19_stranded_entries_are_filed_once_and_counted(
    client: Client, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    await deleted(client, 3)
    telemetry = Telemetry()
    room = intake(client, stream, telemetry)
    while await room.work(wait=False):
        pass
    assert await totals(client) == (3, 0)
    assert telemetry.registry.get_sample_value("kinto_notify_stranded_total") == 3
    assert "stranded entries filed" in capsys.readouterr().out
    # And then they are trimmed as all others are.
    await stream.trim(60_000)
    assert await client.redis.xlen(client.stream) == 0
    assert await client.redis.exists(client.key("filed")) == 0


async def test_r19_what_is_stranded_is_never_trimmed(client: Client, stream: Stream) -> None:
    stranded = await deleted(client, 2)
    (after,) = await entries(client, stream, 1)
    await stream.file([filed(after, filing())], [])
    while await client.time() <= after.added:
        pass
    assert await stream.trim(keep=0) == 1
    assert [key.decode() for key, _ in await client.redis.xrange(client.stream)] == stranded


async def test_r19_a_daemon_whose_own_consumer_is_deleted_files_what_it_holds(client: Client, stream: Stream) -> None:
    """Not being pending is no proof that somebody has filed it."""
    held = await entries(client, stream, 2)
    await client.redis.xgroup_delconsumer(client.stream, GROUP, "one")
    result = await stream.file([filed(one, filing()) for one in held], [])
    assert (result.filed, result.stranded, result.gone) == (2, 2, 0)


async def test_r19_two_find_it_and_one_files_it(client: Client, stream: Stream) -> None:
    """The one that held it, and the one that audits; a poisonous one is buried once too."""
    good, bad = await entries(client, stream, 2)
    await client.redis.xgroup_delconsumer(client.stream, GROUP, "one")
    found = await Stream(client, "two").stranded()
    assert [one.id for one in found] == [good.id, bad.id]
    assert found[0].fields == good.fields
    for turn, reader in enumerate((stream, Stream(client, "two"))):
        result = await reader.file([filed(good, filing())], [Poison(bad, "unreadable")])
        assert (result.filed, result.buried, result.gone) == ((1, 1, 0) if turn == 0 else (0, 0, 2))
    assert await DeadLetters(client).count() == 1
    assert await stream.stranded() == []


async def test_r19_filed_entries_that_wait_for_another_group_are_not_stranded(client: Client, stream: Stream) -> None:
    """In the stream and pending with nobody is what they all are; each is looked at once."""
    await client.redis.xgroup_create(client.stream, "another", id="0")
    await publish(client, 200)
    room = intake(client, stream)
    while await room.work(wait=False):
        pass
    assert await stream.stranded() == []
    assert await client.redis.xlen(client.stream) == 200
    # A stranded one among them is found nevertheless.
    (stranded,) = await deleted(client, 1)
    await publish(client, 1)
    assert [one.id for one in await stream.stranded()] == [stranded]
    again = intake(client, stream)
    while await again.work(wait=False):
        pass
    assert await totals(client) == (202, 0)
    last = await client.redis.xrevrange(client.stream, count=1)
    assert await client.redis.hget(client.key("meta"), "audited") == last[0][0]


async def test_r19_what_is_pending_or_unread_is_not_stranded(client: Client, stream: Stream) -> None:
    (pending,) = await entries(client, stream, 1)
    await publish(client, 2)
    assert await stream.stranded() == []
    await stream.file([filed(pending, filing())], [])
    assert await stream.stranded() == []


async def test_r19_a_group_made_anew_files_nothing_twice(client: Client, stream: Stream) -> None:
    """XGROUP DESTROY hands everything out again that another group keeps in the stream."""
    await client.redis.xgroup_create(client.stream, "another", id="0")
    held = await entries(client, stream, 2)
    await stream.file([filed(held[0], filing())], [Poison(held[1], "unreadable")])
    await client.redis.xgroup_destroy(client.stream, GROUP)
    await stream.ensure_group()
    again = await stream.read(wait=False)
    assert len(again) == 2
    result = await stream.file([filed(again[0], filing())], [Poison(again[1], "unreadable")])
    assert (result.filed, result.known, result.buried, result.gone) == (0, 0, 0, 2)


async def test_r19_a_stranded_entry_that_ends_daemons_is_buried_at_last(client: Client, stream: Stream) -> None:
    """Nothing counts how often it was handed out, so each is handled alone."""
    (fatal,) = await deleted(client, 1)
    for _ in range(FATAL_TIMES):
        await Alone(client).begin(fatal)
    room = intake(client, stream)
    while await room.work(wait=False):
        pass
    (letter,) = [one async for one in DeadLetters(client).newest(10)]
    assert letter.id == f"entry-{fatal}"
    assert await totals(client) == (0, 0)


async def test_m04_consumers_of_the_dead_stay_until_somebody_has_taken_what_was_theirs(
    client: Client, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one daemon to twenty and back to one: half of them leave, half of them die with something in hand."""
    readers = [Stream(client, f"reader-{number}") for number in range(20)]
    for reader in readers:
        await publish(client, 1)
        assert len(await reader.read()) == 1
    for reader in readers[:10]:
        (one,) = await reader.pending()
        await reader.file([filed(one, filing())], [])
    for reader in readers:
        await reader.leave()

    async def names() -> set[bytes]:
        told = await client.redis.xinfo_consumers(client.stream, GROUP)
        return {one["name"] for one in told}

    assert await names() == {f"reader-{number}".encode() for number in range(10, 20)}
    # A day later:
    monkeypatch.setattr(stream_module, "_SILENT_MS", -1)
    assert await stream.sweep_consumers() == 0
    monkeypatch.setattr(stream_module, "CLAIM_IDLE_MS", 0)
    room = intake(client, stream)
    while await room.work(wait=False):
        pass
    assert await totals(client) == (20, 0)
    assert await stream.sweep_consumers() == 10
    assert await names() <= {b"one"}
