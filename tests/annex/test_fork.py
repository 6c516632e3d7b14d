"""K12: a server that loads Kinto before it forks: every worker publishes by itself."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from kinto_notify.demo.servers import RedisServer
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.relay import Relay
from support.stream import StreamReader

TESTS = Path(__file__).parent.parent


def test_k12_workers_forked_from_a_loaded_kinto_publish_by_themselves(
    redis_server: RedisServer, spool: Path, stream: StreamReader
) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "support.preload", redis_server.url, str(spool)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    # A worker that ends between the stream and the mark is a crash: the parent's relay repeats its event, under its id.
    told = {event["id"]: event["data"]["changes"][0]["id"] for event in stream.events()}
    assert sorted(told.values()) == ["after", "parent", "worker0", "worker1", "worker2"]
    assert not list(spool.glob("*.corrupt-*"))


def test_a_thread_that_comes_late_to_a_process_takes_nothing_from_the_first(spool: Path) -> None:
    """Both saw that the process has no spool yet; one is far ahead of the other."""
    outbox = SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None))
    first = outbox._begun(os.getpid())
    written = outbox._spool(first)
    assert outbox._begun(os.getpid()) is first
    assert not written.closed


def at_once(number: int, what: Callable[[], object]) -> None:
    """Let so many threads do it, all at the same moment."""
    together = threading.Barrier(number)
    threads = [threading.Thread(target=lambda: (together.wait(), what())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_what_is_a_parents_is_given_up_once(spool: Path) -> None:
    outbox = SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None))
    inherited = outbox._spool(outbox._begun(os.getpid() + 1))
    at_once(8, outbox._here)
    assert inherited.closed
    assert list(outbox._processes) == [os.getpid()]


def test_a_process_has_one_relay_however_many_come_first(spool: Path) -> None:
    before = threading.active_count()
    for _ in range(20):
        relay = Relay(SpoolOutbox(SpoolDirectory(spool, "ns"), Counters(None)), None, None, Counters(None), 3600)
        # As in a child whose parent had one.
        relay._pid = os.getpid() + 1
        at_once(4, relay.ensure_running)
        assert threading.active_count() == before + 1
        relay.stop()
        assert threading.active_count() == before
