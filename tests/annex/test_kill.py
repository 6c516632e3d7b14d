"""A real Kinto, killed under load: every write that was answered is in the stream."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from kinto_notify.demo.servers import KintoServer, RedisServer
from kinto_notify.outbox.adoption import Adoption
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.spool_reader import SpoolReader
from kinto_notify.outbox.storage import StorageView
from support.stream import StreamReader, eventually
from support.writers import Writer

#: A life takes two seconds; for more of them: KILLS=30 python -m pytest -k k01 tests/annex/test_kill.py
LIVES = int(os.environ.get("KILLS", "3"))


def test_k01_sigkill_under_load_loses_no_answered_write(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    answered: list[str] = []
    kinto = KintoServer(tmp_path, redis_server.url)
    for life in range(LIVES):
        kinto.start()
        assert kinto.request("PUT", "/buckets/b")[0] == 201
        assert kinto.request("PUT", "/buckets/b/collections/c")[0] == 201
        writers = [Writer(kinto, f"{life}-{n}") for n in range(4)]
        for writer in writers:
            writer.start()
        enough = random.randint(1, 200)
        eventually(lambda ws=writers, e=enough: sum(len(w.answered) for w in ws) >= e)
        kinto.kill()
        for writer in writers:
            writer.join()
            answered += writer.answered
    kinto.start()
    # Any request starts the relay, which takes the orphans to their end.
    assert kinto.request("GET", "/__lbheartbeat__")[0] == 200
    eventually(lambda: set(answered) <= {c["id"] for _, c in stream.changes()})
    eventually(lambda: not [p for p in kinto.spool.glob("*.spool") if not holds_rows_of(p, kinto)])
    kinto.stop()
    seen: dict[str, set[str]] = {}
    for event in stream.events():
        for change in event["data"]["changes"]:
            seen.setdefault(change["id"], set()).add(event["id"])
    # A change may be in the stream twice, under one event id only; what was in doubt is told as maybe.
    assert all(len(seen[record]) == 1 for record in answered)


def holds_rows_of(path: Path, kinto: KintoServer) -> bool:
    """Tell whether a spool file belongs to the Kinto that runs now."""
    return kinto.process is not None and f"-{kinto.process.pid}-" in path.name


def test_what_waits_at_a_normal_end_is_published(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    kinto = KintoServer(tmp_path, redis_server.url).start()
    for n in range(20):
        assert kinto.request("PUT", f"/buckets/b{n}")[0] == 201
    assert kinto.process is not None
    kinto.process.send_signal(signal.SIGINT)
    kinto.process.wait(30)
    assert [c["id"] for _, c in stream.changes()] == [f"b{n}" for n in range(20)]
    assert {path.suffix for path in kinto.spool.iterdir()} == {".drained", ".done"}


WRITE = """
import os, sys, threading
from pathlib import Path
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.directory import SpoolDirectory
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.spool_outbox import SpoolOutbox

outbox = SpoolOutbox(SpoolDirectory(Path(sys.argv[1]), "ns"), Counters(None))
second = b'{"data":{"x":"%b"}}' % (b"x" * 900)
def write(writer):
    n = 0
    while True:
        name = f"{sys.argv[2]}-{writer}-{n}"
        committed, n = n % 3 > 0, n + 1
        os.write(1, f"{'begin' if committed else 'aborts'} {name}\\n".encode())
        receipt = outbox.prepare([Entry(name, b'{"data":{}}'), Entry(f"{name}-two", second)], "")
        (outbox.commit if committed else outbox.abort)(receipt)
        os.write(1, f"{'commits' if committed else 'aborted'} {name}\\n".encode())
for writer in range(4):
    threading.Thread(target=write, args=(writer,)).start()
"""


def test_k01_a_spool_killed_under_four_writers_tells_what_was_committed_and_nothing_rolled_back(spool: Path) -> None:
    said: dict[str, set[str]] = {"begin": set(), "commits": set(), "aborts": set(), "aborted": set()}
    for life in range(LIVES):
        writing = subprocess.Popen([sys.executable, "-c", WRITE, str(spool), str(life)], stdout=subprocess.PIPE)
        assert writing.stdout is not None
        lines = [writing.stdout.readline() for _ in range(random.randint(1, 3000))]
        writing.kill()
        lines += writing.stdout.readlines()
        writing.wait()
        writing.stdout.close()
        for line in lines:
            if line.endswith(b"\n"):
                what, name = line.decode().split()
                said[what] |= {name, f"{name}-two"}
    sure: list[str] = []
    maybe: list[str] = []

    def pump(orphan: SpoolReader) -> int:
        rows = orphan.waiting(100, 1 << 20)
        for row in rows:
            (maybe if b"maybe" in row.entry.body else sure).append(row.entry.id)
        orphan.published(rows)
        return len(rows)

    Adoption(SpoolDirectory(spool, "ns"), StorageView(None)).turn(pump)
    assert len(sure) == len(set(sure)), "each once"
    assert said["commits"] <= set(sure), "nothing is lost"
    assert set(sure) <= said["begin"], "nothing is told that was rolled back"
    # Four threads, each with one transaction on its way when the process dies.
    assert len(maybe) <= LIVES * 4 * 2
    assert not set(maybe) & (said["commits"] | said["aborted"])
    assert not list(spool.glob("*.corrupt-*"))
