"""M01, M04: one daemon, six on one machine, and one again, while events come: nobody gets anything twice."""

from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event
from support.inbox import letters, uris
from support.publisher import Publisher
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = 3000
STREAM = "{kinto-notify}:events"


def test_m04_from_one_daemon_to_six_and_back(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    events = [event(change(f"r{number}"), collection_id=f"c{number}") for number in range(EVENTS)]
    wanted = {f"/buckets/b/collections/c/records/r{number}": 1 for number in range(EVENTS)}
    # As the template unit names them: host and instance.
    daemons = [DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name=f"host-{n}") for n in range(1, 7)]
    first, *more = daemons
    try:
        with (
            redis.Redis.from_url(redis_server.url) as client,
            Publisher(redis_server.url, events, batch=10) as publisher,
        ):
            first.start()
            eventually(lambda: len(smtp.mails) > EVENTS // 10, 60)
            for daemon in more:
                daemon.start()
            for daemon in more:
                daemon.wait_told("ready")
            eventually(lambda: all(daemon.told("sent") for daemon in daemons), 60)
            # Two are asked to end, three are killed.
            assert [daemon.stop() for daemon in more[:2]] == [0, 0]
            for daemon in more[2:]:
                daemon.kill()
            eventually(lambda: publisher.published == EVENTS, 100)
            eventually(lambda: wanted.keys() <= uris(letters(list(smtp.mails))).keys(), 150)
            eventually(lambda: not client.zcard("{kinto-notify}:deliveries"), 150)
            pending = client.xpending(STREAM, "kinto-notify")["pending"]
            names = {one["name"].decode() for one in client.xinfo_consumers(STREAM, "kinto-notify")}
        assert pending == 0
        # Who drained has left; the killed are removed a day after they fell silent.
        assert not names & {"host-2", "host-3"}
        assert first.told("room failed") == []
        assert first.stop() == 0
    finally:
        for daemon in daemons:
            daemon.kill()
    found = letters(smtp.mails)
    # What a killed one had handed over and not yet told of goes out again, as the same mail.
    assert dict(uris(found)) == wanted
    assert len(found) - len({letter.ident for letter in found}) <= 3 * 10
