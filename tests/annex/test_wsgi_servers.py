"""K12, K13, K14: Kinto in servers that fork, preload, recycle and kill their workers."""

import contextlib
import importlib.util
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer, free_port
from support.daemon import command
from support.stream import StreamReader, eventually
from support.wsgi_servers import ForkingKinto, Granian, Gunicorn, GunicornPreload, Uwsgi

THREADS = "--enable-threads"
no_uwsgi = pytest.mark.skipif(
    importlib.util.find_spec("pyuwsgi") is None, reason="pyuwsgi has no wheel for this Python"
)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


def write(kinto: ForkingKinto, *names: str) -> None:
    for name in names:
        status, body = kinto.request("PUT", f"/buckets/{name}")
        assert status == 201, body


def told(stream: StreamReader) -> list[str]:
    """The buckets in the stream, sorted, each event once."""
    return sorted({e["id"]: e["data"]["changes"][0]["id"] for e in stream.events()}.values())


def write_until_all_workers_did(kinto: ForkingKinto) -> list[str]:
    """Write from as many threads as there are workers, until each worker has taken a part."""
    written: list[str] = []
    done = threading.Event()

    def work(number: int) -> None:
        for n in itertools.count():
            if done.is_set():
                return
            name = f"b{number}-{n}"
            write(kinto, name)
            written.append(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(kinto.workers)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(kinto.writers()) == kinto.workers)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return sorted(written)


@pytest.mark.parametrize(
    ("server", "options"),
    [
        pytest.param(GunicornPreload, ["--threads", "2"], id="gunicorn, preload_app"),
        pytest.param(Granian, [], id="granian, 4 workers"),
        pytest.param(Uwsgi, [THREADS], id="uwsgi, prefork", marks=no_uwsgi),
    ],
)
def test_k12_every_worker_publishes_and_none_has_anothers_file(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader, server: type[ForkingKinto], options: list[str]
) -> None:
    with server(tmp_path, redis_server.url, *options) as kinto:
        written = write_until_all_workers_did(kinto)
        eventually(lambda: told(stream) == written)
        assert all(kinto.spools_open_in(pid) == {pid} for pid in kinto.writers())
        # None of them needed another one to publish for it, and none had anything to say.
        ours = [line for line in kinto.log.read_text().splitlines() if "kinto-notify: " in line]
        # But which outbox it has.
        assert [line for line in ours if "outbox = spool" not in line] == []


RECYCLED = [
    pytest.param(GunicornPreload, ["--max-requests", "5"], id="gunicorn, preload_app"),
    # Its workers live for a minute at least, unless told otherwise.
    pytest.param(Uwsgi, [THREADS, "--max-requests", "5", "--min-worker-lifetime", "0"], id="uwsgi", marks=no_uwsgi),
]


@pytest.mark.parametrize(("server", "options"), RECYCLED)
def test_k14_workers_recycled_with_rows_pending(
    tmp_path: Path, own_redis: RedisServer, server: type[ForkingKinto], options: list[str]
) -> None:
    with server(tmp_path, own_redis.url, *options, workers=2) as kinto:
        names = sorted(f"b{n}" for n in range(24))
        write(kinto, *names)
        assert len(kinto.writers()) > 3, "nobody was recycled"
        own_redis.start()
        stream = StreamReader(own_redis.url)
        # Any request starts the relay of whoever serves it, who takes the dead ones' files over.
        eventually(lambda: kinto.request("GET", "/__lbheartbeat__") and told(stream) == names)
        stream.close()


KILLED = [
    pytest.param(Gunicorn, ["--timeout", "1"], id="gunicorn, timeout"),
    pytest.param(Uwsgi, [THREADS, "--harakiri", "1"], id="uwsgi, harakiri", marks=no_uwsgi),
]


@pytest.mark.parametrize(("server", "options"), KILLED)
def test_k14_a_worker_killed_in_a_request_with_rows_pending(
    tmp_path: Path, own_redis: RedisServer, server: type[ForkingKinto], options: list[str]
) -> None:
    """What it had answered is published, the write in which it died was never committed and is not."""
    with server(tmp_path, own_redis.url, *options, workers=1) as kinto:
        write(kinto, "a", "b")
        with contextlib.suppress(OSError):
            # uWSGI hangs up, gunicorn lets its worker say a last word.
            assert kinto.request("PUT", "/buckets/hang")[0] == 500
        eventually(lambda: kinto.request("PUT", "/buckets/c")[0] == 201)
        own_redis.start()
        stream = StreamReader(own_redis.url)
        eventually(lambda: kinto.request("GET", "/__lbheartbeat__") and told(stream) == ["a", "b", "c"])
        assert not [e for e in stream.events() if "maybe" in e["data"]]
        stream.close()


@no_uwsgi
def test_k13_uwsgi_without_threads_is_warned_of_and_loses_nothing(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    names = sorted(f"b{n}" for n in range(5))
    with Uwsgi(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as kinto:
        assert "without enable-threads" in kinto.log.read_text()
        write(kinto, *names)
    ini = kinto.ini.read_text()
    kinto.ini.write_text(ini.replace("notify.url = ", f"notify.url = {redis_server.url}\n#"))
    ended = command("relay", "--ini", str(kinto.ini), "--once")
    assert (ended.returncode, ended.stdout) == (0, "5 event(s) published\n")
    assert told(stream) == names


@no_uwsgi
def test_k13_an_external_relay_serves_uwsgi_without_threads(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    settings = "kinto.event_listeners.notify.relay = external\n"
    with Uwsgi(tmp_path, redis_server.url, settings=settings) as kinto:
        write(kinto, "b")
        ended = command("relay", "--ini", str(kinto.ini), "--once")
        assert (ended.returncode, ended.stdout) == (0, "1 event(s) published\n")
        assert told(stream) == ["b"]
        assert "without enable-threads" not in kinto.log.read_text()
