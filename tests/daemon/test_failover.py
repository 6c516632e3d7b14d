"""R07: a primary dies with writes that its replica never had: they are replayed, and copies are recognisable."""

from collections import Counter
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters, uris
from support.proxy import Proxy
from support.smtp_server import SmtpServerThread
from support.stream import eventually

NAMESPACE = "kinto-notify"


def test_r07_what_the_replica_never_had_is_replayed(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Twenty events reach both servers, twenty only the one that dies, twenty none; the daemon follows the name."""
    events = [event(change(f"r{number}"), collection_id=f"c{number}") for number in range(60)]
    (tmp_path / "replica").mkdir()
    with (
        RedisServer(tmp_path / "replica") as replica,
        redis.Redis.from_url(replica.url) as promoted,
        redis.Redis.from_url(redis_server.url) as primary,
        Proxy(redis_server.port) as name,
        DaemonProcess(tmp_path, f"redis://127.0.0.1:{name.port}/0", smtp.url, **machine) as daemon,
    ):
        promoted.replicaof("127.0.0.1", redis_server.port)
        publish(redis_server.url, NAMESPACE, *events[:20])
        eventually(lambda: len(smtp.mails) == 20)
        eventually(lambda: not primary.zcard("{kinto-notify}:deliveries"))
        # The replica has all of that. It is promoted on the other side of a partition, and hears of nothing more.
        eventually(lambda: promoted.info("replication")["master_link_status"] == "up")
        assert primary.wait(1, 30_000) == 1
        promoted.replicaof("NO", "ONE")
        publish(redis_server.url, NAMESPACE, *events[20:40])
        eventually(lambda: len(smtp.mails) == 40)
        redis_server.kill()
        name.target = replica.port
        name.cut()
        # What the outbox has kept, and what it still had to publish.
        publish(replica.url, NAMESPACE, *events)
        wanted = {f"/buckets/b/collections/c/records/r{number}" for number in range(60)}
        eventually(lambda: wanted <= uris(letters(list(smtp.mails))).keys(), 100)
        eventually(lambda: not promoted.zcard("{kinto-notify}:deliveries"))
        assert daemon.stop() == 0
    found = letters(smtp.mails)
    # One Message-ID for each, whatever was told twice; and nothing is told twice that both servers knew.
    assert set(uris(found).values()) == {1}
    sent = Counter(line.uri for letter in found for line in letter.told())
    assert {sent[f"/buckets/b/collections/c/records/r{number}"] for number in (*range(20), *range(40, 60))} == {1}
    assert max(sent.values()) <= 2
