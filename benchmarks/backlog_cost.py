"""What a write pays while a long backlog is published, as after an outage of Redis.

    python benchmarks/backlog_cost.py [--events 40000] [--rounds 3]

In: nothing but this machine. Out: median and 95th percentile of a small record's PUT over HTTP: with a Kinto alone, and
with one whose relay publishes the events that an ended process left in the spool, only the writes meanwhile. The two
take turns. Ends with 1 where the 95th percentile grows by 5 ms or more.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import redis

from contestants import Contestant
from kinto_notify.demo.servers import RedisServer
from kinto_notify.wire import events_key
from kintos import OverHttp
from tools.write_cost import P95_LIMIT_MS, WARM_UP

#: Ends without publishing, as a killed Kinto does.
_LEAVE = """
import os, sys
from pathlib import Path
from kinto_notify import wire
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool_outbox import SpoolOutbox
outbox = SpoolOutbox(SpoolDirectory(Path(sys.argv[1]), wire.DEFAULT_NAMESPACE), Counters(None), durable=False)
body = b'{"specversion":"1.0","data":{"action":"update","resource_name":"record","changes":[{"id":"r","uri":"/r","new":{"text":"%s"}}]}}' % (b"x" * 300)
for _ in range(int(sys.argv[2])):
    outbox.commit(outbox.prepare([Entry(wire.new_id(), body)], "", final=True))
os._exit(0)
"""  # noqa: E501


def alone(place: Path, number: int) -> list[float]:
    """Time writes of a Kinto that tells nobody."""
    with contextlib.closing(OverHttp(Contestant("Kinto alone", bare=True), {}, place)) as kinto:
        kinto.block(0, WARM_UP)
        return kinto.block(0, number)


def publishing(place: Path, events: int) -> list[float]:
    """Time writes of a Kinto for as long as it publishes the backlog."""
    spool = place / "spool"
    subprocess.run([sys.executable, "-c", _LEAVE, str(spool), str(events)], check=True)
    (place / "redis").mkdir()
    with RedisServer(place / "redis") as server, redis.Redis.from_url(server.url) as client:
        own = {"use": "kinto_notify.listener", "url": server.url, "spool": str(spool)}
        settings = {"event_listeners": "notify", **{f"event_listeners.notify.{key}": own[key] for key in own}}
        times: list[float] = []
        with contextlib.closing(OverHttp(Contestant("kinto-notify", settings), {}, place)) as kinto:
            while client.xlen(events_key("kinto-notify")) < events:
                times += kinto.block(len(times), 10)
        return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    bare: list[float] = []
    busy: list[float] = []
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory(prefix="backlog-") as place:
            busy += publishing(Path(place), asked.events)
        with tempfile.TemporaryDirectory(prefix="backlog-") as place:
            bare += alone(Path(place), len(busy) // asked.rounds)
    print("\n| | writes | median | p95 |\n|---|--:|--:|--:|")
    p95 = []
    for name, times in (("Kinto alone", bare), (f"kinto-notify, publishing {asked.events:,} events", busy)):
        p95.append(statistics.quantiles(times, n=20)[-1])
        print(f"| {name} | {len(times)} | {statistics.median(times):.2f} ms | {p95[-1]:.2f} ms |")
    kept = p95[1] - p95[0] < P95_LIMIT_MS
    print(f"\np95 {p95[1] - p95[0]:+.2f} ms, promised below +{P95_LIMIT_MS:.0f} ms: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
