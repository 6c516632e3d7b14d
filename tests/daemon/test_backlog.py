"""L01, L05, L07: a large backlog becomes few mails with true totals, in bounded memory, and a long life leaves nothing.

BACKLOG=1000000 says how many events wait; `-s` shows what they took.
"""

import os
import time
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters
from support.rest import MAY_STAY, at_rest, keys_for_ever
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = int(os.environ.get("BACKLOG", "100000"))
COLLECTIONS = 10
#: What faults.md and the unit's MemoryMax allow is more; this is what we promise.
MEMORY = 256 * 1024 * 1024
#: A daemon that has just started and one that has worked for a day may differ by so much.
GROWTH = 16 * 1024 * 1024


def test_l01_a_long_backlog(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(
        '[[subscription]]\nname = "all"\nrecipients = ["anna@example.org"]\ntemplate = "machine"\n'
        'digest = { wait = "5s", interval = "10s", max_wait = "60s" }\n'
    )
    for start in range(0, EVENTS, 10_000):
        batch = [event(change(f"r{n}"), collection_id=f"c{n % COLLECTIONS}") for n in range(start, start + 10_000)]
        publish(redis_server.url, "kinto-notify", *batch)
    begun = time.monotonic()
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        # As long as a slow machine takes for so many, not as a good one does.
        limit = max(120, EVENTS / 1000)
        eventually(lambda: sum(letter.total() for letter in letters(list(smtp.mails))) == EVENTS, limit)
        print(f"{EVENTS} events: {time.monotonic() - begun:.0f} s, at most {daemon.peak() / 2**20:.0f} MiB resident")
        assert daemon.peak() < MEMORY
        assert daemon.stop() == 0
    assert len(smtp.mails) <= 40 * max(1, EVENTS // 100_000)
    assert len({letter.ident for letter in letters(smtp.mails)}) == len(smtp.mails)
    assert max(len(mail.data) for mail in smtp.mails) < 100_000


def test_l05_entries_of_the_largest_size(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """A read of 128 of them would be 32 MB of JSON and some hundreds as objects: what is read follows their size."""
    text = "x" * 240 * 1024
    for start in range(0, 500, 50):
        many = [event(change(f"r{n}", new={"id": f"r{n}", "text": text})) for n in range(start, start + 50)]
        publish(redis_server.url, "kinto-notify", *many)
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        eventually(lambda: sum(letter.total() for letter in letters(list(smtp.mails))) == 500, 120)
        print(f"500 entries of 240 KiB: at most {daemon.peak() / 2**20:.0f} MiB resident")
        assert daemon.peak() < MEMORY
        assert daemon.stop() == 0


def test_l07_work_leaves_nothing_behind(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """Rounds of work, and between them rest: no more files, threads, memory or keys than after the first ones."""
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace("max_listed = 1000", 'group_by = ["change"]'))
    with (
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
        redis.Redis.from_url(redis_server.url) as client,
    ):
        assert daemon.process is not None
        proc = Path(f"/proc/{daemon.process.pid}")
        seen = []
        for turn in range(12):
            publish(redis_server.url, "kinto-notify", *(event(change(f"r{turn}-{n}")) for n in range(200)))
            smtp.wait_for(200 * (turn + 1), 60)
            eventually(lambda: at_rest(client))
            threads = (proc / "status").read_text().partition("Threads:")[2].split()[0]
            seen.append((len(list((proc / "fd").iterdir())), int(threads), daemon.resident()))
            assert keys_for_ever(client) <= MAY_STAY
        assert daemon.stop() == 0
    warm, last = seen[2], seen[-1]
    # Sessions come and go; each is one file.
    assert last[0] <= max(files for files, _, _ in seen[:3]) + 2
    assert last[1] <= warm[1]
    assert last[2] <= warm[2] + GROWTH
    assert len(smtp.mails) == 2400
