"""Several Kintos on one Redis: each namespace has its own stream, digests, pauses and mails, and touches no other's."""

from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.desk import Desk
from support.events import change, event
from support.inbox import letters
from support.smtp_server import SmtpServerThread
from support.stream import eventually

NAMES = ("blue", "green", "red")


def test_namespaces_do_not_touch_each_other(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """The same events, ids and all, in three namespaces; one of them is paused, flushed and discarded meanwhile."""
    events = [event(change(f"r{number}"), collection_id=f"c{number}") for number in range(20)]
    desks = {name: Desk(redis_server.url, smtp.url, **machine, recipients="", name=name) for name in NAMES}
    daemons = {}
    table = Path(machine["subscriptions"]).read_text()
    for name, desk in desks.items():
        desk.namespace = desk.variables["namespace"] = name
        file = tmp_path / f"{name}.toml"
        file.write_text(table.replace("anna@", f"{name}@"))
        desk.variables["subscriptions"] = str(file)
        own = {"subscriptions": str(file), "templates": machine["templates"], "namespace": name, "name": name}
        daemons[name] = DaemonProcess(tmp_path, redis_server.url, smtp.url, **own)
    with redis.Redis.from_url(redis_server.url) as client:
        assert desks["green"]("pause").returncode == 0
        untouched = {key: client.dump(key) for key in client.scan_iter("{green}:*")}
        with daemons["blue"], daemons["red"]:
            for name in NAMES:
                desks[name].publish(*events)
            eventually(lambda: len(smtp.mails) >= 40)
            for name in ("blue", "red"):
                eventually(lambda name=name: not client.zcard(f"{{{name}}}:deliveries"))
                assert desks[name]("flush", "--discard").returncode == 0
            # Two daemons have worked beside it: nothing of green has changed but what was published.
            assert {key: client.dump(key) for key in untouched} == untouched
            assert client.keys("{green}:*") != []
            assert client.xlen("{green}:events") == 20
            assert client.xinfo_groups("{green}:events") == []
        with daemons["green"] as green:
            eventually(lambda: client.hget("{green}:totals", "events") == b"20")
            assert len(smtp.mails) == 40
            assert desks["green"]("resume").returncode == 0
            eventually(lambda: len(smtp.mails) >= 60)
            assert green.stop() == 0
        assert {key.split(b":")[0] for key in client.scan_iter()} == {f"{{{name}}}".encode() for name in NAMES}
    told = [(letter.recipient, letter.told()[0].uri) for letter in letters(smtp.mails)]
    records = [f"/buckets/b/collections/c/records/r{number}" for number in range(20)]
    assert sorted(told) == sorted((f"{name}@example.org", record) for name in NAMES for record in records)
