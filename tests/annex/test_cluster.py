"""`url = redis+cluster://...`: the stream is one key on one node of three; nothing is lost, nothing overtakes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import webtest

from kinto_notify.errors import StoreUnavailable
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.stream import Stream
from support.cluster import Cluster, cluster_of_three
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]
KEY = "{kinto-notify}:events"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_of_three(tmp_path) as cluster:
        yield cluster


def test_order_is_kept_while_the_stream_moves_to_another_node(make_app: MakeApp, cluster: Cluster) -> None:
    app = make_app(url=cluster.url)
    owner = cluster.owner(KEY)
    target = (owner + 1) % 3
    before, after = (StreamReader(cluster.nodes[n].url) for n in (owner, target))
    names = [f"b{n}" for n in range(60)]
    for name in names[:20]:
        app.put_json(f"/v1/buckets/{name}")
    before.wait(5)
    for name in names[20:40]:
        app.put_json(f"/v1/buckets/{name}")
    cluster.move(KEY, target)
    for name in names[40:]:
        app.put_json(f"/v1/buckets/{name}")
    # A batch whose reply was lost in the move comes again under the same ids.
    told = eventually(
        lambda: (seen := {e["id"]: e["data"]["changes"][0]["id"] for e in after.events()}) and len(seen) >= 60 and seen
    )
    assert list(told.values()) == names
    for reader in (before, after):
        reader.close()


def test_a_batch_is_appended_whole_or_not_at_all(cluster: Cluster) -> None:
    """Were only some of it refused, those after them would overtake them."""
    node = cluster.clients[cluster.owner(KEY)]
    stream = Stream(cluster.url, "kinto-notify", 60)
    stream.append([Entry("first", b"1")])
    used = node.info("memory")["used_memory"]
    # Room for some of the batch.
    node.config_set("maxmemory", used + 2_000_000)
    batch = [Entry(str(n), b"x" * 200_000) for n in range(20)]

    def until_it_is_full() -> None:
        for _ in range(10):
            stream.append(batch)

    with pytest.raises(StoreUnavailable):
        until_it_is_full()
    assert node.xlen(KEY) % 20 == 1
    node.config_set("maxmemory", 0)
    stream.append([Entry("last", b"3")])
    assert node.xlen(KEY) % 20 == 2
    stream.close()


def test_one_node_that_answers_is_enough(cluster: Cluster) -> None:
    stream = Stream(cluster.url.replace("//", "//127.0.0.1:1,"), "kinto-notify", 60)
    stream.append([Entry("one", b"{}")])
    stream.close()
    assert cluster.clients[cluster.owner(KEY)].xlen(KEY) == 1


def test_the_rights_that_a_user_needs(cluster: Cluster) -> None:
    """As docs/operations.md lists them: with `+cluster|slots`, which a single server does not ask for."""
    docs = Path(__file__).parents[2] / "docs" / "operations.md"
    (line,) = [one for one in docs.read_text().splitlines() if one.startswith("ACL SETUSER kinto ")]
    rights = [*line.split()[3:], "+cluster|slots"]
    for client in cluster.clients:
        client.execute_command("ACL", "SETUSER", "kinto", *rights)
    password = next(one[1:] for one in rights if one.startswith(">"))
    stream = Stream(cluster.url.replace("//", f"//kinto:{password}@"), "kinto-notify", 60)
    stream.append([Entry("one", b"{}")])
    stream.close()
    assert cluster.clients[cluster.owner(KEY)].xlen(KEY) == 1
