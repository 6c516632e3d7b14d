"""The old list as a source: what it holds becomes events of ours, once each, by any number of daemons."""

import asyncio
import json
import uuid

import pytest

from kinto_notify import wire
from kinto_notify.errors import ConfigError
from kinto_notify.event import parse_entry
from kinto_notify.legacy_list import LegacyList, moved
from kinto_notify.store.client import Client
from kinto_notify.store.dead import DeadLetters
from kinto_notify.store.old_list import Moved, OldList
from kinto_notify.telemetry import Telemetry

PAYLOAD = {
    "timestamp": 1_700_000_000_000,
    "action": "create",
    "uri": "/buckets/b/collections/c/records/r1",
    "user_id": "account:alice",
    "resource_name": "record",
    "bucket_id": "b",
    "collection_id": "c",
    "record_id": "r1",
}


@pytest.fixture
def name() -> str:
    """The list has a key of its own, outside of any namespace."""
    return f"kinto.core.events.{uuid.uuid4().hex[:12]}"


async def push(client: Client, name: str, *payloads: object) -> None:
    for one in payloads:
        await client.redis.lpush(name, one if isinstance(one, bytes) else json.dumps(one))


async def events(client: Client) -> list[dict[str, str]]:
    """What the stream holds, read as the daemon does: id of the object and of the event."""
    found = [parse_entry(fields) for _, fields in await client.redis.xrange(client.stream)]
    return [{"id": one.data.changes[0].id, "event": one.id} for one in found]


def payload(number: int) -> dict[str, object]:
    return PAYLOAD | {"record_id": f"r{number}"}


def event_in(stands: bytes) -> dict[str, object]:
    told = json.loads(moved(stands, "l").event)
    assert isinstance(told, dict)
    return told


def test_a_payload_becomes_an_event_of_one_change_without_objects() -> None:
    told = event_in(json.dumps(PAYLOAD).encode())
    data = told["data"]
    assert isinstance(data, dict)
    assert data["changes"] == [{"id": "r1", "uri": PAYLOAD["uri"]}]
    assert PAYLOAD.items() <= data.items()
    assert (told["type"], told["subject"]) == ("org.kinto-storage.record.create", "/buckets/b/collections/c")
    assert wire.id_time(str(told["id"]))


def test_one_of_cliquet_has_no_bucket() -> None:
    stands = {"action": "update", "resource_name": "mushroom", "uri": "/mushrooms/m1", "mushroom_id": "m1"}
    told = event_in(json.dumps(stands).encode())
    assert told["data"]["changes"] == [{"id": "m1", "uri": "/mushrooms/m1"}]  # type: ignore[index]
    assert (told["subject"], told["source"]) == ("/", "urn:kinto-notify:list:l")


@pytest.mark.parametrize(
    "stands",
    [
        *(b"", b"\xff", b"[]", b"{", b"[" * 100_000, b"{}"),
        b'{"action": 1, "resource_name": "record", "uri": "/x/secret"}',
        json.dumps(PAYLOAD | {"user_agent": "x" * wire.MAX_ENTRY_BYTES}).encode(),
    ],
)
def test_what_is_no_payload_has_a_reason_without_its_content(stands: bytes) -> None:
    found = moved(stands, "l")
    assert found.event == b""
    assert found.reason.startswith("list l: ")
    assert "secret" not in found.reason


def test_an_account_is_told_of_nowhere() -> None:
    stands = json.dumps(PAYLOAD | {"resource_name": "account"}).encode()
    assert moved(stands, "l") == Moved(stands)


async def test_they_are_moved_in_their_order_and_bad_ones_are_buried(client: Client, name: str) -> None:
    await push(client, name, payload(1), b"\xff\x00", payload(2) | {"resource_name": "account"}, payload(3))
    room = LegacyList(OldList(client, name), Telemetry())
    assert await room.work() == 4
    assert [one["id"] for one in await events(client)] == ["r1", "r3"]
    assert await client.redis.exists(name) == 0
    (letter,) = [one async for one in DeadLetters(client).newest()]
    assert (letter.kind, letter.reason) == ("entry", f"list {name}: is no JSON")
    found = await DeadLetters(client).get(letter.id)
    assert found is not None
    assert found.fields["entry_event"] == b"\xff\x00"
    assert await room.work() == 0


async def test_several_daemons_move_each_entry_once(client: Client, redis_url: str, name: str) -> None:
    """They read the same end at once, some entries are the same text, and more come in meanwhile."""
    clients = [Client(redis_url, client.prefix[1:-1]) for _ in range(4)]
    rooms = [LegacyList(OldList(one, name), Telemetry()) for one in clients]

    async def fill() -> None:
        for start in range(0, 1_000, 50):
            await push(client, name, *(payload((start + n) // 2) for n in range(50)))

    async def empty(room: LegacyList) -> None:
        while await room.work() or not filled.done():
            pass

    filled = asyncio.create_task(fill())
    await asyncio.gather(*map(empty, rooms), filled)
    for one in clients:
        await one.close()
    found = await events(client)
    assert [each["id"] for each in found] == [f"r{number // 2}" for number in range(1_000)]
    assert len({each["event"] for each in found}) == 1_000


async def test_what_another_daemon_took_meanwhile_is_not_moved(client: Client, name: str) -> None:
    await push(client, name, payload(1), payload(2))
    one = OldList(client, name)
    read = [moved(stands, name) for stands in await one.oldest()]
    assert await one.move(read[:1]) == (1, 0)
    assert await one.move(read) == (0, 0)
    assert [each["id"] for each in await events(client)] == ["r1"]
    assert await client.redis.llen(name) == 1


async def test_a_key_that_is_no_list_is_a_wrong_setting(client: Client, name: str) -> None:
    await client.redis.set(name, "x")
    with pytest.raises(ConfigError, match=r"KINTO_NOTIFY_LIST: Redis does not read .* as a list: WRONGTYPE"):
        await LegacyList(OldList(client, name), Telemetry()).work()
