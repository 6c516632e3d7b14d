"""R10: the node that has our slot dies under load, and its replica takes over; what it told nobody is replayed."""

from pathlib import Path

import redis

from support.cluster import ClusterNode, cluster_of_three
from support.daemon import DaemonProcess
from support.events import change, event
from support.inbox import letters, uris
from support.publisher import Publisher
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = 1000
KEY = "{kinto-notify}:events"


def test_r10_a_node_dies_under_load(tmp_path: Path, smtp: SmtpServerThread, machine: dict[str, str]) -> None:
    events = [event(change(f"r{number}"), collection_id=f"c{number}") for number in range(EVENTS)]
    wanted = {f"/buckets/b/collections/c/records/r{number}": 1 for number in range(EVENTS)}
    with cluster_of_three(tmp_path) as cluster, ClusterNode(tmp_path / "replica") as replica:
        cluster.guard(KEY, replica)
        # The node that dies is the first that the URL names, too.
        owner = cluster.owner(KEY)
        url = "redis+cluster://" + ",".join(
            f"127.0.0.1:{node.port}" for node in (cluster.nodes[owner], cluster.nodes[(owner + 1) % 3])
        )
        with (
            DaemonProcess(tmp_path, url, smtp.url, **machine, name="one") as one,
            DaemonProcess(tmp_path, url, smtp.url, **machine, name="two") as two,
            redis.Redis.from_url(replica.url) as promoted,
        ):
            with Publisher(url, events) as publisher:
                eventually(lambda: publisher.published > EVENTS // 4 and len(smtp.mails) > EVENTS // 8, 60)
                cluster.nodes[owner].kill()
                eventually(lambda: promoted.info("replication")["role"] == "master", 60)
                eventually(lambda: publisher.published == EVENTS, 60)
                publisher.replay()
            eventually(lambda: wanted.keys() <= uris(letters(list(smtp.mails))).keys(), 100)
            eventually(lambda: not promoted.zcard("{kinto-notify}:deliveries"), 100)
            for daemon in (one, two):
                assert daemon.told("redis unavailable")
                assert daemon.told("room failed") == daemon.told("entry buried") == daemon.told("digest buried") == []
            assert [one.stop(), two.stop()] == [0, 0]
    found = letters(smtp.mails)
    assert dict(uris(found)) == wanted
    assert len(found) - len({letter.ident for letter in found}) < EVENTS // 5
