"""What a plural delete of many records costs with the listener: a bare Kinto and ours, in turns, in one run.

    python benchmarks/delete_cost.py [--records 30000] [--rounds 5] [--storage memory | postgresql]

In: nothing but this machine. Out: for each the time of the request, and the processor time of its thread, which other
work on the machine disturbs least; the least of all rounds and the median. `relay` is what Kinto's process takes
besides, in all its threads, until the stream has everything. Each is a process of its own, called with webtest, that
may delete more than Kinto's 10,000 at once (`storage_max_fetch_size`). Ends with 1 where the processor time of the
request grows by 10 % or more.
"""

import argparse
import contextlib
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

# What tests use to start servers is used here too.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kinto_notify import wire
from kinto_notify.demo.servers import RedisServer
from support.kinto_app import RECORDS, close, kinto_app, listening
from support.postgres import PostgresKinto, PostgresServer

#: Faults table, K15.
LIMIT = 0.10
PARENT = "/buckets/b/collections/c"
#: As the triggers of Kinto's schema would write them, one by one, for a minute.
_FILL = """
SET LOCAL session_replication_role = replica;
INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
SELECT 'r' || n, :parent, 'record', now() - interval '1 day' + n * interval '1 ms',
    jsonb_build_object('id', 'r' || n, 'title', 'Record ' || n, 'status', 'draft', 'words', n), false
FROM generate_series(1, :number) AS n
"""


def serve(settings: dict[str, str]) -> None:
    """The child: a number on standard input is a delete of so many records, `?` asks for the processor time."""
    app = kinto_app(settings)
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    for line in sys.stdin:
        if line.strip() == "?":
            print(json.dumps(time.process_time()), flush=True)
            continue
        fill(app.app.registry.storage, int(line))
        gc.collect()
        began, thread = time.perf_counter(), time.thread_time()
        app.delete(RECORDS)
        taken = time.perf_counter() - began, time.thread_time() - thread
        app.app.registry.storage.purge_deleted("record", PARENT)
        print(json.dumps(taken), flush=True)
    close(app)


def fill(storage: Any, number: int) -> None:
    """Make records, past Kinto."""
    if hasattr(storage, "client"):
        from kinto.core.storage.postgresql.client import sqlalchemy

        with storage.client.connect(force_commit=True) as session:
            session.execute(sqlalchemy.text(_FILL), {"parent": PARENT, "number": number})
        return
    for n in range(number):
        one = {"id": f"r{n}", "title": f"Record {n}", "status": "draft", "words": n}
        storage.create("record", PARENT, one)


class Kinto:
    """One of the three."""

    def __init__(self, name: str, settings: dict[str, str]) -> None:
        self.name = name
        self.took: list[tuple[float, float, float]] = []
        command = [sys.executable, "-W", "ignore", __file__, "--serve", json.dumps(settings)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: object) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(line, file=self._child.stdin, flush=True)
        return json.loads(self._child.stdout.readline())

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(60)


@contextlib.contextmanager
def three(storage: str) -> Iterator[tuple[list[Kinto], Any]]:
    """Start two bare ones (what differs between them is noise) and ours."""
    with contextlib.ExitStack() as ending:
        place = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="delete-cost-")))
        server = ending.enter_context(RedisServer(place))
        kintos = []
        for name in ("Kinto alone", "Kinto alone, once more", "kinto-notify"):
            settings = listening(server.url, place / "spool") if name == "kinto-notify" else {}
            settings["storage_max_fetch_size"] = "1000000"
            if storage == "postgresql":
                database = PostgresServer()
                ending.callback(database.remove)
                database.start()
                (place / name).mkdir()
                PostgresKinto(place / name, server.url, database.url).migrate()
                for backend in ("storage", "permission"):
                    settings[f"{backend}_backend"] = f"kinto.core.{backend}.postgresql"
                    settings[f"{backend}_url"] = database.url
            kintos.append(Kinto(name, settings))
            ending.callback(kintos[-1].close)
        client = redis.Redis.from_url(server.url, socket_timeout=30)
        ending.callback(client.close)
        yield kintos, client


def settle(client: Any, number: int, limit: float = 120.0) -> None:
    """Wait until the stream ends with the last part of a delete of so many."""
    deadline = time.monotonic() + limit
    while True:
        for _, fields in client.xrevrange(wire.events_key(wire.DEFAULT_NAMESPACE), count=1):
            data = json.loads(fields[b"event"])["data"]
            if (data["action"], data["total"], data.get("part")) == ("delete", number, data.get("parts")):
                return
        assert time.monotonic() < deadline, "the stream did not get all"
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--storage", choices=("memory", "postgresql"), default="memory")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        serve(asked.serve)
        return 0
    with three(asked.storage) as (kintos, client):
        for turn in range(-1, asked.rounds):
            for kinto in kintos[turn % 3 :] + kintos[: turn % 3]:
                client.delete(wire.events_key(wire.DEFAULT_NAMESPACE))
                wall, thread = kinto.ask(asked.records)
                before = kinto.ask("?")
                if kinto.name == "kinto-notify":
                    settle(client, asked.records)
                if turn >= 0:
                    kinto.took.append((wall, thread, kinto.ask("?") - before))
    return 0 if report(kintos, f"{asked.storage}, {asked.records} records") else 1


def report(kintos: list[Kinto], title: str) -> bool:
    """Print a table in Markdown; tell whether the limit holds."""
    print(f"\n{title}\n\n| | request, median | | its processor time, median | | least | | relay |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    bare, grown = [0.0, 0.0, 0.0], 0.0
    for kinto in kintos:
        walls, threads, relays = zip(*kinto.took, strict=True)
        found = [statistics.median(walls), statistics.median(threads), min(threads)]
        bare = bare if any(bare) else found
        grown = found[2] / bare[2] - 1
        told = [f"{own:.3f} s | {own / alone - 1:+.1%}" for own, alone in zip(found, bare, strict=True)]
        print("|", " | ".join([kinto.name, *told, f"{statistics.median(relays):.3f} s"]), "|")
    return grown < LIMIT


if __name__ == "__main__":
    sys.exit(main())
