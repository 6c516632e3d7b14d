"""Several daemons on one namespace: none is special, any may be cut off, and nobody gets anything twice."""

from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer, free_port
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters, uris
from support.proxy import Proxy
from support.smtp_server import SmtpServerThread
from support.stream import eventually

NAMESPACE = "kinto-notify"


def write(redis_server: RedisServer, start: int, number: int) -> None:
    """So many events, each of a collection of its own: each makes a mail."""
    names = range(start, start + number)
    publish(redis_server.url, NAMESPACE, *(event(change(f"r{name}"), collection_id=f"c{name}") for name in names))


def all_once(smtp: SmtpServerThread, number: int) -> None:
    """Wait until every event was mailed; none twice."""
    wanted = {f"/buckets/b/collections/c/records/r{name}": 1 for name in range(number)}
    eventually(lambda: wanted.keys() <= uris(letters(list(smtp.mails))).keys(), 100)
    assert dict(uris(letters(smtp.mails))) == wanted
    assert len(smtp.mails) == number


def test_m02_five_daemons_make_one_digest(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Each reads some of the events; a digest is a key in Redis, and not a thing of theirs."""
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace('wait = "0s"', 'wait = "5s"'))
    names = ("one", "two", "three", "four", "five")
    daemons = [DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name=name).start() for name in names]
    try:
        for daemon in daemons:
            daemon.wait_told("ready")
        events = [event(change(f"r{number}")) for number in range(200)]
        for start in range(0, 200, 5):
            publish(redis_server.url, NAMESPACE, *events[start : start + 5])
        eventually(lambda: smtp.mails)
        assert sorted(uris(letters(list(smtp.mails))).values()) == [1] * 200
        assert [daemon.stop() for daemon in daemons] == [0] * 5
        assert len(smtp.mails) == 1
        assert sum(len(daemon.told("digest")) for daemon in daemons) == 1
        with redis.Redis.from_url(redis_server.url) as client:
            # They have left: no name stays behind (M04).
            assert client.xinfo_consumers("{kinto-notify}:events", NAMESPACE) == []
    finally:
        for daemon in daemons:
            daemon.kill()


def test_m05_a_daemon_that_is_cut_off_from_redis(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """The others do its work; when it is back it takes its share again."""
    with Proxy(redis_server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        with (
            DaemonProcess(tmp_path, url, smtp.url, **machine, name="cut-off") as lonely,
            DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name="other") as other,
        ):
            write(redis_server, 0, 10)
            all_once(smtp, 10)
            proxy.freeze()
            proxy.cut()
            lonely.wait_told("redis unavailable")
            write(redis_server, 10, 20)
            all_once(smtp, 30)
            proxy.thaw()
            lonely.wait_told("redis is back")
            other.kill()
            write(redis_server, 30, 5)
            all_once(smtp, 35)
            assert lonely.told("room failed") == other.told("room failed") == []
            assert lonely.stop() == 0


def test_m06_a_daemon_that_is_cut_off_from_the_smarthost(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """What it leased it gives back at once, and that costs no attempt: the others deliver."""
    nowhere = f"smtp+insecure://127.0.0.1:{free_port()}"
    with DaemonProcess(tmp_path, redis_server.url, nowhere, **machine, name="cut-off") as lonely:
        write(redis_server, 0, 5)
        lonely.wait_told("smarthost unavailable")
        with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name="other") as other:
            write(redis_server, 5, 20)
            all_once(smtp, 25)
            for daemon in (lonely, other):
                assert daemon.told("deferred") == daemon.told("refused") == daemon.told("gave up") == []
            with redis.Redis.from_url(redis_server.url) as client:
                eventually(lambda: not client.zcard("{kinto-notify}:deliveries"))
                totals = client.hgetall("{kinto-notify}:totals")
            assert (totals.get(b"sent"), totals.get(b"deferred", b"0")) == (b"25", b"0")
            assert other.stop() == 0
        assert lonely.stop() == 0
