"""R16: a user with too few rights stops us before the first script, not half-way through one."""

import re
import uuid
from pathlib import Path

import pytest

import kinto_notify.store
from kinto_notify.demo.servers import RedisServer
from kinto_notify.errors import StoreUnavailable
from kinto_notify.store.client import Client
from kinto_notify.store.stream import Stream
from support.filings import entries, filed, filing

SCRIPTS = Path(kinto_notify.store.__file__).parent


async def limited(redis_server: RedisServer, client: Client, *rights: str, user: str = "") -> Client:
    """The same namespace for a user with these rights."""
    user = user or f"u{uuid.uuid4().hex[:8]}"
    await client.redis.acl_setuser(user, enabled=True, nopass=True, keys=["*"], commands=rights)
    return Client(redis_server.url.replace("redis://", f"redis://{user}:x@"), client.prefix.strip("{}"))


@pytest.mark.parametrize("lacking", ["expire", "zadd", "rpush", "hset", "sadd", "xack", "del", "rename"])
async def test_nothing_is_filed_half(redis_server: RedisServer, client: Client, lacking: str) -> None:
    """An entry that is acknowledged and in no digest is lost."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    (one,) = await entries(client, stream, 1)
    poor = await limited(redis_server, client, "+@all", f"-{lacking}")
    with pytest.raises(StoreUnavailable, match=f"(?i)no right to {lacking}"):
        await Stream(poor, "one").file([filed(one, filing("a"))], [])
    await poor.close()
    assert [entry.id for entry in await stream.pending()] == [one.id]
    assert (await stream.file([filed(one, filing("a"))], [])).filed == 1


async def test_all_that_is_missing_is_named_and_nothing_is_left(redis_server: RedisServer, client: Client) -> None:
    poor = await limited(redis_server, client, "+@all", "-zadd", "-expire")
    with pytest.raises(StoreUnavailable, match="EXPIRE, ZADD"):
        await Stream(poor, "one").leave()
    await poor.close()
    assert await client.redis.keys(client.key("none*")) == []


async def test_a_right_that_is_lost_while_we_run_is_no_fault_of_an_entry(
    redis_server: RedisServer, client: Client
) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    (one,) = await entries(client, stream, 1)
    poor = await limited(redis_server, client, "+@all", user="losing")
    reader = Stream(poor, "one")
    await reader.file([filed(one, filing("a"))], [])
    await client.redis.acl_setuser("losing", enabled=True, commands=["-hincrby"])
    (two,) = await entries(client, stream, 1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"(?i)hincrby|can't run this command"):
            await reader.file([filed(two, filing("b"))], [])
    assert [entry.id for entry in await stream.pending()] == [two.id]
    await client.redis.acl_setuser("losing", enabled=True, commands=["+hincrby"])
    assert (await reader.file([filed(two, filing("b"))], [])).filed == 1
    await poor.close()


def test_every_command_of_every_script_is_tried() -> None:
    tried = set(re.findall(r"try\('(\w+)'", (SCRIPTS / "rights.lua").read_text()))
    called = {
        command
        for script in SCRIPTS.glob("*.lua")
        for command in re.findall(r"redis\.call\('(\w+)'", script.read_text())
    }
    assert called <= tried
