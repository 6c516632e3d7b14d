"""L03: a Redis that fills while Kinto writes: the relay holds in time, the daemon says so and drains, all arrives."""

import json
from collections import Counter
from pathlib import Path

import redis

from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import DaemonProcess
from support.inbox import letters
from support.smtp_server import SmtpServerThread
from support.stream import eventually

RECORDS = 800
ROOM = 60_000_000
TEXT = "x" * 100_000


def write(kinto: KintoServer, start: int, stop: int) -> None:
    for number in range(start, stop):
        body = json.dumps({"data": {"text": TEXT}}).encode()
        status, answer = kinto.request("PUT", f"/buckets/b/collections/c/records/r{number}", body)
        assert status == 201, answer


def test_l03_a_redis_that_fills_is_never_full(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """80 MB of entries for 60 MB of room, and no daemon; then a daemon, and more writes."""
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace('wait = "0s"', 'group_by = ["change"], wait = "0s"'))
    daemon = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine)
    with KintoServer(tmp_path, redis_server.url) as kinto, redis.Redis.from_url(redis_server.url) as client:
        for path in ("/buckets/b", "/buckets/b/collections/c"):
            assert kinto.request("PUT", path)[0] == 201
        limit = client.info("memory")["used_memory"] + ROOM
        client.config_set("maxmemory", limit)
        write(kinto, 0, RECORDS)
        eventually(lambda: "the stream takes nothing (Redis uses 9" in kinto.log.read_text())
        used = client.info("memory")["used_memory"]
        held = client.xlen("{kinto-notify}:events")
        assert 0.9 * limit <= used < limit
        assert 400 < held < RECORDS
        with daemon:
            # It takes some of it before it has looked around, and all of it in the end.
            write(kinto, RECORDS, RECORDS + 20)
            wanted = {f"/buckets/b/collections/c/records/r{number}" for number in range(RECORDS + 20)}
            eventually(lambda: wanted <= set(told(smtp)), 100)
            eventually(lambda: not client.zcard("{kinto-notify}:deliveries"))
            counted = told(smtp)
            assert {uri: counted[uri] for uri in wanted} == dict.fromkeys(wanted, 1)
            eventually(lambda: "takes entries again" in kinto.log.read_text())
            # Redis has refused nobody anything, least of all those that drain.
            assert "errorstat_OOM" not in client.info("errorstats")
            assert daemon.told("redis unavailable") == daemon.told("room failed") == []
            assert daemon.stop() == 0


def told(smtp: SmtpServerThread) -> Counter[str]:
    """How often each object was told of; a copy of a mail counts."""
    return Counter(uri for letter in letters(list(smtp.mails)) for uri in {line.uri for line in letter.told()})


def test_the_daemon_says_that_redis_is_nearly_full(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    with (
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
        redis.Redis.from_url(redis_server.url) as client,
    ):
        daemon.wait_told("ready")
        assert daemon.metric('kinto_notify_pressure{kind="memory"}') == 0
        # Beside it, what connections take is little.
        for number in range(200):
            client.set(f"ballast:{number}", "x" * 100_000)
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", int(used / 0.94))
        (line,) = daemon.wait_told("redis is nearly full")
        assert line["relays"] == "held"
        assert "of its maxmemory" in line["load"]
        assert daemon.metric('kinto_notify_pressure{kind="memory"}') > 0.8
        # It is not ill, and mail can be sent.
        assert daemon.get("/healthz")[0] == daemon.get("/readyz")[0] == 200
        assert "outbox keeps what is written" in daemon.get("/")[1]
        client.config_set("maxmemory", int(used / 0.5))
        daemon.wait_told("redis has room again")
        assert len(daemon.told("redis is nearly full")) == 1
        assert daemon.stop() == 0
