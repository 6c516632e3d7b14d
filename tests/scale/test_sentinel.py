"""R07, R09: three sentinels, a primary that is killed under load, twice; what it had told nobody yet is replayed."""

from collections import Counter
from pathlib import Path

import redis

from support.daemon import DaemonProcess
from support.events import change, event
from support.inbox import letters, uris
from support.publisher import Publisher
from support.sentinel import follow, guarded
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = 1500


def test_r07_two_fail_overs_under_load(tmp_path: Path, smtp: SmtpServerThread, machine: dict[str, str]) -> None:
    events = [event(change(f"r{number}"), collection_id=f"c{number}") for number in range(EVENTS)]
    wanted = {f"/buckets/b/collections/c/records/r{number}" for number in range(EVENTS)}
    names = ("one", "two", "three")
    with guarded(tmp_path) as group:
        daemons = [DaemonProcess(tmp_path, group.url, smtp.url, **machine, name=name).start() for name in names]
        try:
            with Publisher(group.url, events) as publisher:
                eventually(lambda: publisher.published > EVENTS // 5 and len(smtp.mails) > EVENTS // 10, 60)
                killed = group.primary()
                promoted = group.fail_over()
                # Operators bring it back; it follows the new primary, and is who remains in the end.
                killed.start()
                follow(killed, promoted)
                eventually(lambda: publisher.published > EVENTS // 2, 60)
                group.fail_over()
                eventually(lambda: publisher.published == EVENTS, 100)
                publisher.replay()
            eventually(lambda: wanted <= uris(letters(list(smtp.mails))).keys(), 100)
            with redis.Redis.from_url(group.primary().url) as client:
                eventually(lambda: not client.zcard("{kinto-notify}:deliveries"), 100)
            for daemon in daemons:
                assert daemon.told("redis unavailable")
                assert daemon.told("room failed") == daemon.told("entry buried") == daemon.told("digest buried") == []
            assert [daemon.stop() for daemon in daemons] == [0, 0, 0]
        finally:
            for daemon in daemons:
                daemon.kill()
    assert publisher.faults
    found = letters(smtp.mails)
    # One Message-ID for each, whatever a primary forgot; only what it forgot is told again, at most once a fail-over.
    assert dict(uris(found)) == dict.fromkeys(wanted, 1)
    copies = Counter(letter.ident for letter in found)
    assert max(copies.values()) <= 3
    again = sum(copies.values()) - len(copies)
    print(f"{again} of {EVENTS} mails came again")
    assert again < EVENTS // 5
