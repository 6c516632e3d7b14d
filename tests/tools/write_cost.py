"""What a write costs with the listener: a bare Kinto and ours, in turns, in one run.

    python tests/tools/write_cost.py [process | http] [--rounds 20] [--block 100] [--delete 0]

In: nothing but this machine. Out: for each way (webtest in Kinto's own process; HTTP to waitress) the median and the
95th percentile of a small record's PUT on the memory backend: bare, bare once more (what differs between the two is
noise), and with the listener, its relay and a real Redis; and the processor time of Kinto's whole process, relay and
all, which other work on the machine disturbs least. Every contestant has a process of its own and works alone, a block
at a time; the relay's work falls into its own blocks, which end when the stream has all. `--delete N` measures plural
deletes of N records instead. Ends with 1 where ours breaks the promise: median +10 %, p95 +5 ms.
"""

import argparse
import base64
import contextlib
import dataclasses
import gc
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).parents[1]))

from kinto_notify import wire
from kinto_notify.demo.servers import KINTO_USER, KintoServer, RedisServer

COLLECTION = "/v1/buckets/b/collections/c"
WARM_UP = 200
#: The promises of a write: the median may grow by this part, the 95th percentile by these milliseconds.
MEDIAN_LIMIT, P95_LIMIT_MS = 0.10, 5.0
#: One PUT: takes a number, returns nothing.
Write = Callable[[int], None]


def block(write: Write, first: int, number: int) -> list[float]:
    """Write `number` times and return each time in milliseconds."""
    taken = []
    for at in range(first, first + number):
        begin = time.perf_counter()
        write(at)
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def body(number: int) -> dict[str, object]:
    return {"data": {"title": f"Record {number}", "status": "draft", "words": number, "tags": ["a", "b"]}}


def serve(with_listener: bool, url: str, spool: str, delete: int) -> None:
    """The child: a Kinto in this process; a line with two numbers on stdin is a block of writes to time."""
    from support.kinto_app import close, kinto_app, listening

    app = kinto_app(listening(url, spool) if with_listener else {})
    app.put_json("/v1/buckets/b")
    app.put_json(COLLECTION)
    storage = app.app.registry.storage

    def put(number: int) -> None:
        app.put_json(f"{COLLECTION}/records/r{number % 50}", body(number))

    def plural_delete(_number: int) -> None:
        app.delete(f"{COLLECTION}/records")

    for line in sys.stdin:
        first, number = map(int, line.split())
        gc.collect()
        if delete:
            taken = []
            for at in range(first, first + number):
                for record in range(delete):
                    one = {**body(record)["data"], "id": f"r{at}-{record}"}  # type: ignore[dict-item]
                    storage.create("record", "/buckets/b/collections/c", one)
                taken += block(plural_delete, at, 1)
                storage.purge_deleted("record", "/buckets/b/collections/c")
        else:
            taken = block(put, first, number)
        print(json.dumps(taken), flush=True)
    close(app)


def cpu_ms(pid: int) -> float:
    """Return the processor time of a process and all its threads (its waiting children have none)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


class InProcess:
    """A contestant of the first way."""

    def __init__(self, directory: Path, url: str, *, ours: bool, delete: int) -> None:
        which = "ours" if ours else "bare"
        command = [sys.executable, "-W", "ignore", __file__, "--serve", which, url, str(directory / "spool")]
        self._child = subprocess.Popen(
            [*command, "--delete", str(delete)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._child.pid

    def block(self, first: int, number: int) -> list[float]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{first} {number}\n")
        self._child.stdin.flush()
        taken: list[float] = json.loads(self._child.stdout.readline())
        return taken

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(30)


class Bare(KintoServer):
    """The same Kinto from the same ini, the listener switched off."""

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "KINTO_EVENT_LISTENERS": ""}


class OverHttp:
    """A contestant of the second way; one connection, as a proxy in front of Kinto keeps it."""

    def __init__(self, directory: Path, url: str, *, ours: bool) -> None:
        self._server = (KintoServer if ours else Bare)(directory, url).start()
        assert self._server.process is not None
        self.pid = self._server.process.pid
        self._link = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        token = base64.b64encode(":".join(KINTO_USER).encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        for path in ("/v1/buckets/b", COLLECTION):
            self._request(path, {})

    def _request(self, path: str, content: dict[str, object]) -> None:
        self._link.request("PUT", path, json.dumps(content), self._headers)
        answer = self._link.getresponse()
        answer.read()
        assert answer.status in (200, 201)

    def block(self, first: int, number: int) -> list[float]:
        return block(lambda n: self._request(f"{COLLECTION}/records/r{n % 50}", body(n)), first, number)

    def close(self) -> None:
        self._link.close()
        self._server.stop()


Contestant = InProcess | OverHttp


@contextlib.contextmanager
def contest(way: str, delete: int) -> Iterator[tuple[dict[str, Contestant], redis.Redis]]:
    """Start all three and one Redis; end them all."""
    with tempfile.TemporaryDirectory(prefix="write-cost-") as place, contextlib.ExitStack() as ending:
        own = Path(place) / "redis"
        own.mkdir()
        server = ending.enter_context(RedisServer(own))
        contestants: dict[str, Contestant] = {}
        for name in ("bare", "bare again", "listener"):
            directory = Path(place) / name.replace(" ", "-")
            directory.mkdir()
            ours = name == "listener"
            if way == "process":
                contestants[name] = InProcess(directory, server.url, ours=ours, delete=delete)
            else:
                contestants[name] = OverHttp(directory, server.url, ours=ours)
            ending.callback(contestants[name].close)
        yield contestants, redis.Redis.from_url(server.url, socket_timeout=30)


def settled(client: redis.Redis, least: int, limit: float = 60.0) -> None:
    """Wait until the stream holds what was written."""
    deadline = time.monotonic() + limit
    while client.xlen(wire.events_key(wire.DEFAULT_NAMESPACE)) < least:
        assert time.monotonic() < deadline, "the stream did not get what was written"
        time.sleep(0.01)


@dataclasses.dataclass
class Result:
    """What one contestant took: each write's time, and the processor's for all of them."""

    times: list[float]
    cpu: float = 0.0


def measure(way: str, rounds: int, size: int, delete: int) -> dict[str, Result]:
    """Let them write in turns, each block in another order."""
    with contest(way, delete) as (contestants, client):
        names = list(contestants)
        taken = {name: Result([]) for name in names}
        written = 0
        for turn in range(-1, rounds):
            number = size if turn >= 0 or delete else WARM_UP
            for name in names[turn % 3 :] + names[: turn % 3]:
                begin = cpu_ms(contestants[name].pid)
                times = contestants[name].block((turn + 1) * size, number)
                if name == "listener":
                    # A plural delete's first entry is enough to tell that its turn has come.
                    written += number
                    settled(client, written)
                if turn >= 0:
                    taken[name].times += times
                    taken[name].cpu += cpu_ms(contestants[name].pid) - begin
        return taken


def report(way: str, taken: dict[str, Result]) -> bool:
    """Print the table of one way; tell whether the promise holds."""
    median = {name: statistics.median(result.times) for name, result in taken.items()}
    p95 = {name: statistics.quantiles(result.times, n=20)[-1] for name, result in taken.items()}
    cpu = {name: result.cpu / len(result.times) for name, result in taken.items()}
    bare = {
        "median": statistics.mean([median["bare"], median["bare again"]]),
        "p95": max(p95["bare"], p95["bare again"]),
    }
    once = statistics.mean([cpu["bare"], cpu["bare again"]])
    print(f"{way}: {len(taken['bare'].times)} of each")
    print(f"  {'':10} {'median':>9} {'':>8} {'p95':>9} {'':>10} {'processor':>11}")
    for name in taken:
        grown, later = median[name] / bare["median"] - 1, p95[name] - bare["p95"]
        line = f"  {name:10} {median[name]:6.3f} ms {grown:+8.1%} {p95[name]:6.3f} ms {later:+7.3f} ms"
        print(f"{line} {cpu[name]:8.3f} ms {cpu[name] / once - 1:+8.1%}")
    return median["listener"] / bare["median"] - 1 < MEDIAN_LIMIT and p95["listener"] - bare["p95"] < P95_LIMIT_MS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", nargs="?", choices=("process", "http"), help="only this way")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--block", type=int, default=100, help="writes in a row")
    parser.add_argument("--delete", type=int, default=0, metavar="N", help="plural deletes of N records, in process")
    parser.add_argument("--serve", nargs=3, metavar=("WHICH", "URL", "SPOOL"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        which, url, spool = asked.serve
        serve(which == "ours", url, spool, asked.delete)
        return 0
    ways = ["process"] if asked.delete else [asked.way] if asked.way else ["process", "http"]
    kept = [report(way, measure(way, asked.rounds, asked.block, asked.delete)) for way in ways]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
