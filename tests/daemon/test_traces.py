"""What a daemon leaves in Redis: names and dead letters go (design 4: everything has a bound or an age)."""

from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS, DEAD = "{kinto-notify}:events", "{kinto-notify}:dead"


def test_old_dead_letters_go_and_so_does_the_consumer(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
            client.xadd(EVENTS, {"v": "1", "event": "no JSON"})
            (letter,) = eventually(lambda: client.zrange(DEAD, 0, -1))
            client.zadd(DEAD, {letter: 1})
            eventually(lambda: not client.zcard(DEAD))
            assert [one["name"] for one in client.xinfo_consumers(EVENTS, "kinto-notify")] == [b"one"]
            assert daemon.stop() == 0
        assert client.xinfo_consumers(EVENTS, "kinto-notify") == []


def test_it_is_the_same_with_run_once(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    once = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine)
    with redis.Redis.from_url(redis_server.url) as client:
        client.xadd(EVENTS, {"v": "1", "event": "no JSON"})
        for score in (1, None):
            publish(redis_server.url, "kinto-notify", event(change("x")))
            once.start("--once")
            assert once.process is not None
            assert once.process.wait(60) == 0
            if score is not None:
                (letter,) = client.zrange(DEAD, 0, -1)
                client.zadd(DEAD, {letter: score})
        assert client.zcard(DEAD) == 0
        assert client.xinfo_consumers(EVENTS, "kinto-notify") == []
    assert len(smtp.mails) == 2
