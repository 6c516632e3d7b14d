"""The old list through running daemons: two of them empty it together, and one that is killed loses nothing."""

import json
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.smtp_server import SmtpServerThread
from support.stream import eventually

LIST = "kinto.core.events"


def push(client: "redis.Redis", numbers: range) -> None:
    for number in numbers:
        ident = f"r{number}"
        uri = f"/buckets/b/collections/c/records/{ident}"
        client.lpush(LIST, json.dumps({"action": "update", "resource_name": "record", "uri": uri, "record_id": ident}))


def test_two_daemons_empty_it_and_one_is_killed(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    # What is filed stays in an open digest, to be counted.
    own = {"list": LIST, "recipients": "ann@example.org", "digest_wait": "1h"}
    made = [DaemonProcess(tmp_path, redis_server.url, smtp.url, **own, name=name) for name in ("one", "two")]

    def filed() -> dict[str, int]:
        told = command("status", "--json", redis_url=redis_server.url, sender="kinto@example.org")
        totals: dict[str, int] = json.loads(told.stdout)["totals"]
        return totals

    with redis.Redis.from_url(redis_server.url) as client:
        try:
            for daemon in made:
                daemon.start().wait_told("ready")
            push(client, range(200))
            made[0].kill()
            push(client, range(200, 400))
            made[0].start()
            eventually(lambda: filed().get("events", 0) >= 400)
            assert client.llen(LIST) == 0
            assert (filed()["events"], filed()["changes"], filed().get("known", 0)) == (400, 400, 0)
            assert [daemon.stop() for daemon in made] == [0, 0]
        finally:
            for daemon in made:
                daemon.kill()
