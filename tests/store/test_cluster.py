"""R10: a namespace in a Redis Cluster: one slot, whose node may change under way; no script runs where half is gone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.errors import ConfigError, StoreUnavailable
from kinto_notify.store.client import Client
from kinto_notify.store.stream import Stream
from support.cluster import Cluster, cluster_of_three
from support.filings import entries, filed, filing, key
from support.waiting import until

NAMESPACE = "kinto-notify"
KEY = "{kinto-notify}:events"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of_three(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    for one in cluster.clients:
        one.flushall()
    made = Client(cluster.url, NAMESPACE)
    yield made
    await made.close()


@pytest.fixture
async def stream(client: Client) -> Stream:
    made = Stream(client, "one")
    await made.ensure_group()
    return made


def elsewhere(cluster: Cluster) -> int:
    return (cluster.owner(KEY) + 1) % 3


def stored(node: "redis.Redis") -> dict[bytes, bytes]:
    return {name: node.dump(name) for name in node.scan_iter()}


async def tried(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except StoreUnavailable as fault:
        return str(fault)
    return ""


async def test_scripts_and_commands_find_the_node_of_the_slot(cluster: Cluster, client: Client, stream: Stream) -> None:
    (one,) = await entries(client, stream, 1)
    assert (await stream.file([filed(one, filing())], [])).filed == 1
    at = cluster.owner(KEY)
    assert [node.dbsize() > 0 for node in cluster.clients] == [number == at for number in range(3)]
    # After FLUSHALL and SCRIPT FLUSH too.
    cluster.clients[at].script_flush()
    assert await client.missing_rights() == []


async def test_r10_while_the_slot_moves_no_script_does_half_of_its_work(
    cluster: Cluster, client: Client, stream: Stream
) -> None:
    """A new key would end a script in the middle: the second digest's, when the first one is written already."""
    first, one = await entries(client, stream, 2)
    await stream.file([filed(first, filing())], [])
    filings = (filing(), filing(to=key("another")))
    source, to = cluster.owner(KEY), elsewhere(cluster)
    before = stored(cluster.clients[source])
    cluster.begin_move(KEY, to)
    told = await tried(stream.file([filed(one, *filings)], []))
    assert "moving to another node" in told
    assert stored(cluster.clients[source]) == before
    # Key by key: neither the one that has it still nor the one that gets it runs anything.
    while cluster.move_some(KEY, to, 1):
        assert "moving to another node" in await tried(stream.file([filed(one, *filings)], []))
        assert cluster.clients[source].dbsize() + cluster.clients[to].dbsize() == len(before)
    cluster.end_move(KEY, to)
    # A hash that moves may come with its fields in another order.
    assert stored(cluster.clients[to]).keys() == before.keys()
    # The first to ask is sent elsewhere; all go there at once.
    assert "gone to another node" in await tried(stream.pending())
    assert (await stream.file([filed(one, *filings)], [])).filed == 1
    assert await stream.pending() == []


async def test_r10_a_read_that_blocks_while_the_slot_moves(cluster: Cluster, client: Client, stream: Stream) -> None:
    reading = asyncio.create_task(tried(stream.read()))
    owner = cluster.clients[cluster.owner(KEY)]
    await asyncio.to_thread(until, lambda: owner.info("clients")["blocked_clients"])
    await asyncio.to_thread(cluster.move, KEY, elsewhere(cluster))
    assert await reading != ""
    # Told that the key went, it may not know yet where to.
    await tried(stream.pending())
    assert await stream.pending() == []
    (one,) = await entries(client, stream, 1)
    assert (await stream.file([filed(one, filing())], [])).filed == 1


async def test_all_connections_learn_of_a_move_from_one(cluster: Cluster, client: Client) -> None:
    """Else each of them would cost a fault of its own, one after the other."""
    await asyncio.gather(*(client.time() for _ in range(5)))
    await asyncio.to_thread(cluster.move, KEY, elsewhere(cluster))
    assert "gone to another node" in await tried(client.hash("totals"))
    assert await asyncio.gather(*(tried(client.hash("totals")) for _ in range(5))) == [""] * 5


async def test_one_node_that_answers_is_enough(cluster: Cluster) -> None:
    """The first is down when we start; one of the others tells of all."""
    made = Client(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}", NAMESPACE)
    assert await made.time() > 0
    await made.close()
    made = Client("redis+cluster://127.0.0.1:1", NAMESPACE)
    with pytest.raises(StoreUnavailable, match=r"no node of the cluster says who has our slot \(.*127.0.0.1:1"):
        await made.time()
    await made.close()


async def test_the_rights_that_a_user_needs_in_a_cluster(cluster: Cluster, stream: Stream) -> None:
    """As docs/operations.md lists them, and `+cluster|slots`."""
    docs = Path(__file__).parents[2] / "docs" / "operations.md"
    (line,) = [one for one in docs.read_text().splitlines() if one.startswith("ACL SETUSER daemon ")]
    for node in cluster.clients:
        node.execute_command("ACL", "SETUSER", "daemon", *line.split()[3:])
    login = f"daemon:{next(one[1:] for one in line.split() if one.startswith('>'))}@"
    made = Client(cluster.url.replace("//", f"//{login}"), NAMESPACE)
    with pytest.raises(StoreUnavailable, match="cluster"):
        await made.missing_rights()
    for node in cluster.clients:
        node.execute_command("ACL", "SETUSER", "daemon", "+cluster|slots")
    assert await made.missing_rights() == []
    (one,) = await entries(made, stream, 1)
    assert (await Stream(made, "one").file([filed(one, filing())], [])).filed == 1
    await made.close()


async def test_a_plain_url_of_a_node_says_what_to_write(cluster: Cluster) -> None:
    made = Client(cluster.nodes[elsewhere(cluster)].url, NAMESPACE)
    assert "redis+cluster:// finds the one that does" in await tried(made.hash("totals"))
    await made.close()


@pytest.mark.parametrize(
    "url", ["redis+cluster://", "redis+cluster://h:x", "redis+cluster://h:1/2", "redis+cluster://h:1?db=2"]
)
def test_urls_of_a_cluster_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis\+cluster://"):
        Client(url, NAMESPACE)
