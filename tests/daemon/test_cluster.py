"""R10: two daemons in a Redis Cluster whose slot moves from node to node while events come and mails go."""

from pathlib import Path

from support.cluster import cluster_of_three
from support.daemon import DaemonProcess
from support.events import change, event
from support.inbox import letters, uris
from support.publisher import Publisher
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = 300
KEY = "{kinto-notify}:events"


def test_r10_the_slot_moves_under_load(tmp_path: Path, smtp: SmtpServerThread, machine: dict[str, str]) -> None:
    events = [event(change(f"r{number}"), collection_id=f"c{number}") for number in range(EVENTS)]
    wanted = {f"/buckets/b/collections/c/records/r{number}": 1 for number in range(EVENTS)}
    with (
        cluster_of_three(tmp_path) as cluster,
        DaemonProcess(tmp_path, cluster.url, smtp.url, **machine, name="one") as one,
        DaemonProcess(tmp_path, cluster.url, smtp.url, **machine, name="two") as two,
        Publisher(cluster.url, events) as publisher,
    ):
        for number in range(1, 4):
            eventually(lambda at=number * EVENTS // 5: publisher.published >= at and len(smtp.mails) >= at // 2, 60)
            cluster.move(KEY, (cluster.owner(KEY) + 1) % 3)
        eventually(lambda: publisher.published == EVENTS, 60)
        eventually(lambda: wanted.keys() <= uris(letters(list(smtp.mails))).keys(), 60)
        owner = cluster.clients[cluster.owner(KEY)]
        eventually(lambda: not owner.zcard("{kinto-notify}:deliveries"))
        # Each once, in one mail: nothing is told twice, and no digest was cut in two.
        assert dict(uris(letters(smtp.mails))) == wanted
        assert len(smtp.mails) == EVENTS
        for daemon in (one, two):
            assert daemon.told("room failed") == daemon.told("entry buried") == daemon.told("digest buried") == []
            assert "CROSSSLOT" not in daemon.log.read_text()
            # It says that the slot moves, and that it is back.
            assert any("another node" in line["reason"] for line in daemon.told("redis unavailable"))
            assert daemon.told("redis is back")
        assert [one.stop(), two.stop()] == [0, 0]
    assert not any("CROSSSLOT" in fault for fault in publisher.faults)
