"""L03: the smarthost is down for long: what waits is open digests, and Redis stays small."""

from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters
from support.rest import at_rest
from support.smtp_server import SmtpServerThread
from support.stream import eventually

PREFIX = "{kinto-notify}"
#: Each stands for half an hour of a day: with the defaults a busy group would get a mail in each.
ROUNDS, EVENTS = 48, 40


def test_l03_a_relay_that_is_down_for_a_day_makes_no_heap_of_mails(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace("max_listed = 1000", "max_listed = 20"))
    smtp.stop()
    published = 0
    used = []
    with (
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
        redis.Redis.from_url(redis_server.url) as client,
    ):
        # The first mail finds out that the relay is down.
        publish(redis_server.url, "kinto-notify", event(change("first")))
        daemon.wait_told("smarthost unavailable")
        for _ in range(ROUNDS):
            publish(
                redis_server.url,
                "kinto-notify",
                *(event(change(f"r{published + n}"), collection_id=f"c{n % 2}") for n in range(EVENTS)),
            )
            published += EVENTS
            eventually(lambda: int(client.hget(f"{PREFIX}:totals", "events") or 0) == published + 1)  # noqa: B023
            # Each was due when it was filed; a mail for each round would be here some time later.
            used.append(client.zcard(f"{PREFIX}:deliveries"))
            assert client.zcard(f"{PREFIX}:due") + client.zcard(f"{PREFIX}:frozen") <= 3
        lines = sum(client.llen(key) for key in client.keys(f"{PREFIX}:lines:*"))
        assert lines <= 3 * 20
        assert max(used) <= 3
        smtp.start()
        eventually(lambda: at_rest(client))
        assert daemon.stop() == 0
    found = letters(smtp.mails)
    assert sum(letter.total() for letter in found) == published + 1
    assert len(found) == len({letter.ident for letter in found}) <= 5


def test_l03_a_daemon_with_nothing_to_try_the_relay_with_makes_something(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """The one delivery that would find out is dropped by the operator: the next digest takes its place."""
    smtp.stop()
    with (
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
        redis.Redis.from_url(redis_server.url) as client,
    ):
        publish(redis_server.url, "kinto-notify", event(change("first")))
        daemon.wait_told("smarthost unavailable")
        eventually(lambda: client.zcard(f"{PREFIX}:deliveries"))
        client.delete(f"{PREFIX}:deliveries")
        publish(redis_server.url, "kinto-notify", event(change("second")))
        eventually(lambda: client.zcard(f"{PREFIX}:deliveries"))
        smtp.start()
        smtp.wait_for(1, 90)
        assert daemon.stop() == 0
