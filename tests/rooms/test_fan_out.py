"""L02, L04: very many recipients, very many open digests: each step stays small, and nothing is looked through."""

from dataclasses import replace
from pathlib import Path

import redis

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.demo.servers import RedisServer
from kinto_notify.digester import STEP, steps_of
from support.daemon import DaemonProcess
from support.digests import HELLO, SENDER, digest
from support.events import change, event, publish
from support.rest import at_rest
from support.smtp_server import SmtpServerThread
from support.stream import eventually

#: Commands that look at all keys, or at all of one.
LOOKING_THROUGH = {"keys", "scan", "hscan", "sscan", "zscan", "smembers", "sort"}


def test_l04_a_step_is_at_most_some_hundred_deliveries() -> None:
    """Each is one script, during which Redis does nothing else; the body goes with the first one only."""
    everybody = tuple(Mailbox("", f"r{n}@example.org") for n in range(10_001))
    steps = list(steps_of(replace(digest(HELLO), recipients=everybody), Composer(sender=SENDER), SENDER.address))
    assert max(len(step.addressed) for step in steps) <= STEP <= 500
    assert [one.recipient for step in steps for one in step.addressed] == [one.address for one in everybody]
    assert [step.last for step in steps] == [False] * (len(steps) - 1) + [True]
    assert [bool(step.body) for step in steps] == [True] + [False] * (len(steps) - 1)


def test_l02_a_hundred_thousand_open_digests_are_not_looked_through(tmp_path: Path) -> None:
    """They wait for tomorrow; one that is due is found beside them, by its time."""
    namespace = "kinto-notify"
    with RedisServer(tmp_path) as server, SmtpServerThread() as smtp, redis.Redis.from_url(server.url) as client:
        tomorrow = (client.time()[0] + 86_400) * 1000
        for start in range(0, 100_000, 10_000):
            many = {f"{n:040x}": tomorrow + n for n in range(start, start + 10_000)}
            client.zadd(f"{{{namespace}}}:due", many)
        client.config_resetstat()
        with DaemonProcess(tmp_path, server.url, smtp.url, recipients="anna@example.org") as daemon:
            publish(server.url, namespace, event(change("x")))
            smtp.wait_for(1)
            eventually(lambda: not client.zcard(f"{{{namespace}}}:deliveries"))
            assert not at_rest(client)
            assert daemon.stop() == 0
        told = client.info("commandstats")
    assert "cmdstat_zrangebyscore" in told
    assert not {f"cmdstat_{name}" for name in LOOKING_THROUGH} & told.keys()
