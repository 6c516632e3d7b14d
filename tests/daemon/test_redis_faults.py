"""What Redis may answer instead of an answer: the daemon says so once, waits, buries nothing, and then goes on."""

import contextlib
import re
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters, uris
from support.proxy import Proxy
from support.smtp_server import SmtpServerThread
from support.stream import eventually

NAMESPACE = "kinto-notify"
Fault = Callable[[RedisServer], "contextlib.AbstractContextManager[None]"]


class FragileRedis(RedisServer):
    """A server whose files may be given a limit; without `ignore` it would be killed for reaching it."""

    def command(self) -> Sequence[str]:
        return ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "redis", *super().command()]

    def limit_files(self, size: int) -> None:
        assert self.process is not None
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with FragileRedis(tmp_path) as server:
        yield server


def published(redis_server: RedisServer, *names: str) -> None:
    publish(redis_server.url, NAMESPACE, *(event(change(name)) for name in names))


def delivered(smtp: SmtpServerThread, *names: str) -> None:
    """Wait until a mail tells of each, and none of any twice."""
    wanted = {f"/buckets/b/collections/c/records/{name}" for name in names}
    eventually(lambda: wanted <= uris(letters(list(smtp.mails))).keys(), 100)
    assert dict.fromkeys(wanted, 1) == dict(uris(letters(smtp.mails)))


@contextlib.contextmanager
def out_of_memory(server: RedisServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        yield
        client.config_set("maxmemory", "0")


@contextlib.contextmanager
def read_only(server: RedisServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        # Of a primary that is not there: it keeps what it has.
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")


@contextlib.contextmanager
def disk_full(server: RedisServer) -> Iterator[None]:
    assert isinstance(server, FragileRedis)
    server.limit_files(0)
    with redis.Redis.from_url(server.url) as client:
        # The write that finds out is taken; those after it are refused.
        client.set("something", "x")
        eventually(lambda: client.info("persistence")["aof_last_write_status"] == "err")
        yield
        server.limit_files(resource.RLIM_INFINITY)
        eventually(lambda: client.info("persistence")["aof_last_write_status"] == "ok")


@contextlib.contextmanager
def busy(server: RedisServer) -> Iterator[None]:
    """Somebody's script that does not end."""

    def run() -> None:
        with redis.Redis.from_url(server.url, socket_timeout=60) as client, contextlib.suppress(redis.ResponseError):
            client.eval("while true do end", 0)

    with redis.Redis.from_url(server.url) as client:
        # Its old name is known to all versions.
        client.config_set("lua-time-limit", "50")
        script = threading.Thread(target=run)
        script.start()
        yield
        client.script_kill()
        script.join(30)
        assert not script.is_alive()


@contextlib.contextmanager
def locked(server: RedisServer) -> Iterator[None]:
    """The password was changed, and the daemon has the old one (none)."""
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "n3w-s3cret")
        client.auth("n3w-s3cret")
        # Connections that are logged in stay so.
        client.client_kill_filter(_type="normal", skipme=True)
        yield
        client.config_set("requirepass", "")


@contextlib.contextmanager
def forbidden(server: RedisServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("default", enabled=True, commands=["-xautoclaim", "-xreadgroup"])
        yield
        client.acl_setuser("default", enabled=True, commands=["+xautoclaim", "+xreadgroup"])


@contextlib.contextmanager
def crowded(server: RedisServer) -> Iterator[None]:
    """As many connections as the server takes, and the daemon's were cut."""
    with redis.Redis.from_url(server.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
        client.config_set("maxclients", "1")
        yield
        client.config_set("maxclients", "10000")


FAULTS: dict[str, tuple[Fault, str]] = {
    "R06 out of memory": (out_of_memory, "out of memory"),
    "R08 read-only": (read_only, "(?i)read.?only|UNBLOCKED"),
    "R11 disk full": (disk_full, "MISCONF"),
    "R16 password changed": (locked, "(?i)auth"),
    "R16 right lost": (forbidden, "(?i)xreadgroup|no permissions"),
    "R17 maxclients": (crowded, "(?i)max number of clients"),
    "R20 busy": (busy, "(?i)busy"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_redis_is_waited_for(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str], name: str
) -> None:
    fault, reason = FAULTS[name]
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        published(redis_server, "before")
        delivered(smtp, "before")
        # Something is to be done just when it happens.
        daemon.signal(signal.SIGSTOP)
        published(redis_server, "meanwhile")
        with fault(redis_server):
            daemon.signal(signal.SIGCONT)
            told = eventually(lambda: [one for one in daemon.told("redis unavailable") if matches(reason, one)])
            assert all("s3cret" not in str(one) for one in told)
        published(redis_server, "after")
        delivered(smtp, "before", "meanwhile", "after")
        eventually(lambda: {one["room"] for one in told} <= {one["room"] for one in daemon.told("redis is back")})
        assert daemon.told("room failed") == daemon.told("entry buried") == daemon.told("digest buried") == []
        assert daemon.stop() == 0


def matches(reason: str, line: dict[str, object]) -> bool:
    return re.search(reason, str(line["reason"])) is not None


def test_r02_a_redis_that_lost_its_last_second_is_given_it_again(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """A power cut takes the end of the append-only file; the outbox has kept the events and replays them."""
    events = [event(change(f"r{number}")) for number in range(30)]
    publish(redis_server.url, NAMESPACE, *events[:10])
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        delivered(smtp, *(f"r{number}" for number in range(10)))
        assert daemon.stop() == 0
        with redis.Redis.from_url(redis_server.url) as client:
            client.config_set("appendfsync", "always")
        # Redis 6.2 has one file, later ones a directory with a base and what came after it.
        (file,) = (*tmp_path.glob("appendonlydir/*.incr.aof"), *tmp_path.glob("appendonly.aof"))
        survived = file.stat().st_size
        publish(redis_server.url, NAMESPACE, *events[10:])
        redis_server.kill()
        assert file.stat().st_size > survived
        with file.open("r+b") as cut:
            cut.truncate(survived)
        redis_server.start()
        daemon.start()
        publish(redis_server.url, NAMESPACE, *events)
        delivered(smtp, *(f"r{number}" for number in range(30)))
        assert daemon.stop() == 0


def test_r05_a_redis_that_loads_its_data_is_waited_for(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """It answers `LOADING` to everything: not ready, one line for each room, and no storm of questions."""
    published(redis_server, *(f"r{number}" for number in range(100)))
    with redis.Redis.from_url(redis_server.url) as client:
        client.mset({f"filler:{number}": "x" * 4096 for number in range(200)})
        client.bgrewriteaof()
        eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    redis_server.stop()
    # So many microseconds for each key, and it looks up between two of them.
    redis_server.extra = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
    redis_server.launch()
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        eventually(lambda: any("load" in line["reason"].lower() for line in daemon.told("redis unavailable")))
        assert daemon.get("/readyz")[0] == 503
        delivered(smtp, *(f"r{number}" for number in range(100)))
        assert len(daemon.told("redis unavailable")) <= 8
        assert daemon.told("room failed") == []
        with redis.Redis.from_url(redis_server.url) as client:
            assert client.info("errorstats")["errorstat_LOADING"]["count"] < 200
        assert daemon.stop() == 0


def test_r12_a_redis_that_ends_since_its_disk_is_full(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """With `appendfsync always` it exits rather than lie; started again it has all that it took."""
    assert isinstance(redis_server, FragileRedis)
    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("appendfsync", "always")
        with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
            published(redis_server, "before")
            delivered(smtp, "before")
            redis_server.limit_files(0)
            with pytest.raises(redis.ConnectionError):
                published(redis_server, "refused")
            eventually(redis_server.ended)
            daemon.wait_told("redis unavailable")
            redis_server.start()
            published(redis_server, "after")
            delivered(smtp, "before", "after")
            assert daemon.stop() == 0


def test_r13_a_half_open_connection_is_given_up(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Nothing comes and nothing ends: after the socket's time-out the daemon says so."""
    with Proxy(redis_server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        with DaemonProcess(tmp_path, url, smtp.url, **machine) as daemon:
            published(redis_server, "before")
            delivered(smtp, "before")
            proxy.freeze()
            published(redis_server, "meanwhile")
            (told, *_) = daemon.wait_told("redis unavailable")
            assert "imeout" in told["reason"]
            proxy.thaw()
            delivered(smtp, "before", "meanwhile")
            assert daemon.stop() == 0


def test_r16_a_daemon_with_a_wrong_password_waits_for_the_right_one(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    url = redis_server.url.replace("redis://", "redis://:s3cret@")
    with redis.Redis.from_url(redis_server.url) as client, DaemonProcess(tmp_path, url, smtp.url, **machine) as daemon:
        (told, *_) = daemon.wait_told("redis unavailable")
        assert "password" in told["reason"]
        client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+s3cret"])
        client.auth("s3cret")
        publish(url, NAMESPACE, event(change("after")))
        delivered(smtp, "after")
        assert "s3cret" not in daemon.log.read_text()
        assert daemon.stop() == 0
