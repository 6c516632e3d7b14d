"""Daemons killed at random moments: nothing lost, copies only of mails in flight, under the same Message-ID."""

import random
import time
from collections import Counter
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters, uris
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = 2_000
SECONDS = 20.0
SESSIONS = 10


def test_two_daemons_killed_in_turn(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """M01, D01 to D08: SIGKILL at random for 20 s under 2,000 events."""
    dice = random.Random(20261123)
    daemons = [
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name=name).start() for name in ("one", "two")
    ]
    kills = 0
    started = time.monotonic()
    published: list[str] = []
    next_kill = started + 0.7
    while (now := time.monotonic()) < started + SECONDS or len(published) < EVENTS:
        wanted = min(EVENTS, int((now - started) / SECONDS * EVENTS))
        fresh = [f"r{n}" for n in range(len(published), wanted)]
        publish(
            redis_server.url,
            "kinto-notify",
            *(event(change(one), collection_id=f"c{dice.randrange(5)}") for one in fresh),
        )
        published += fresh
        if now >= next_kill:
            daemon = daemons[kills % 2]
            daemon.kill()
            daemon.start()
            kills += 1
            next_kill = now + dice.uniform(0.5, 1.2)
        time.sleep(0.01)
    expected = {f"/buckets/b/collections/c/records/{one}" for one in published}
    try:
        # The leases of the killed end after a minute at the latest.
        eventually(lambda: expected <= uris(letters(list(smtp.mails))).keys(), 100)
        with redis.Redis.from_url(redis_server.url) as client:
            eventually(lambda: not client.zcard("{kinto-notify}:deliveries"), 100)
            left = {key.decode().split(":")[1] for key in client.keys("*")}
    finally:
        for daemon in daemons:
            daemon.kill()
    assert kills >= 15
    found = letters(smtp.mails)
    assert set(uris(found)) == expected
    assert set(uris(found).values()) == {1}
    copies = sum(count - 1 for count in Counter(letter.ident for letter in found).values())
    assert copies <= kills * SESSIONS
    print(f"{kills} kills, {len(found)} mails, {copies} copies")
    # I5: at rest only what may stay.
    assert left <= {"events", "filed", "seen", "totals", "meta", "pace"}
