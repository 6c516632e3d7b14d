"""K12: a server that loads Kinto before it forks: every worker publishes by itself."""

import os
import subprocess
import sys
from pathlib import Path

from kinto_notify.demo.servers import RedisServer
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
