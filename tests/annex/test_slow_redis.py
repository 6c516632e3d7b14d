"""A network between Kinto and Redis that is slow, silent or lossy: a write never pays, and all is published."""

from collections.abc import Callable, Iterator

import pytest
import webtest

from kinto_notify.demo.servers import RedisServer
from support.kinto_app import RECORDS
from support.proxy import Proxy
from support.stream import StreamReader, eventually

MakeApp = Callable[..., webtest.TestApp]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as made:
        yield made


@pytest.fixture
def app(make_app: MakeApp, proxy: Proxy, stream: StreamReader) -> webtest.TestApp:
    """A Kinto behind the proxy, whose first two events have gone through it."""
    made = make_app(url=f"redis://127.0.0.1:{proxy.port}/0")
    made.put_json("/v1/buckets/b")
    made.put_json("/v1/buckets/b/collections/c")
    stream.wait(2)
    return made


def write(app: webtest.TestApp, first: int, number: int) -> None:
    for n in range(first, first + number):
        app.put_json(f"{RECORDS}/r", {"data": {"n": n}}, status=201 if n == 0 else 200)


def told(stream: StreamReader) -> list[int]:
    """What the stream says of the record, each event once, in the order of their first entries."""
    by_id = {e["id"]: e["data"]["changes"][0]["new"]["n"] for e in stream.events()[2:]}
    return list(by_id.values())


def appends(proxy: Proxy) -> int:
    return sum(b"XADD" in request for request in proxy.requests)


def test_k07_a_redis_100_ms_away_is_asked_once_for_many_writes(
    app: webtest.TestApp, proxy: Proxy, stream: StreamReader
) -> None:
    """Writers that waited for it would make a round trip each: while one is on its way, 100 are answered."""
    proxy.hold()
    before = appends(proxy)
    write(app, 0, 1)
    eventually(lambda: appends(proxy) > before)
    proxy.delay = 0.1
    write(app, 1, 99)
    # More than one only where this machine stood still for longer than the relay waits for a reply.
    assert appends(proxy) - before < 10
    proxy.release()
    eventually(lambda: len(told(stream)) == 100)
    assert told(stream) == list(range(100))


@pytest.mark.parametrize("what", ["XADD", "EXEC"])
def test_k09_a_reply_that_is_lost_repeats_the_same_id(
    app: webtest.TestApp, proxy: Proxy, stream: StreamReader, what: str
) -> None:
    """The daemon drops the copy by its id: tests/store/test_filing.py."""
    proxy.swallow = what.encode()
    write(app, 0, 1)
    eventually(lambda: proxy.swallowed)
    write(app, 1, 1)
    eventually(lambda: told(stream) == [0, 1])
    ids = [event["id"] for event in stream.events()[2:]]
    # Which of the two the relay finds on its second way is a matter of timing; that the first comes twice is not.
    assert len(set(ids)) == 2
    assert ids.count(ids[0]) == 2


def test_k09_every_reply_is_lost_for_a_while(app: webtest.TestApp, proxy: Proxy, stream: StreamReader) -> None:
    for n in range(5):
        proxy.swallow = b"XADD"
        write(app, n, 1)
        eventually(lambda lost=n + 1: proxy.swallowed == lost)
    eventually(lambda: told(stream) == list(range(5)))


def test_a_connection_cut_again_and_again_loses_nothing(
    app: webtest.TestApp, proxy: Proxy, stream: StreamReader
) -> None:
    for n in range(20):
        write(app, n, 1)
        proxy.cut()
    eventually(lambda: told(stream) == list(range(20)))


def test_a_connection_that_falls_silent_is_given_up_and_another_one_tried(
    app: webtest.TestApp, proxy: Proxy, stream: StreamReader, caplog: pytest.LogCaptureFixture
) -> None:
    """As R13: half-open, nothing comes and nothing ends."""
    proxy.freeze()
    write(app, 0, 20)
    eventually(lambda: "the stream takes nothing (TimeoutError" in caplog.text)
    write(app, 20, 20)
    accepted = proxy.accepted
    eventually(lambda: proxy.accepted > accepted)
    proxy.thaw()
    eventually(lambda: len(told(stream)) == 40)
    assert told(stream) == list(range(40))
