"""S07, S08: what comes back after a deferral is the same to the byte: greylisting keys on the envelope (RFC 6647)."""

from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.smtp_server import Act, SmtpServerThread, say
from support.stream import eventually


@pytest.mark.parametrize(
    ("phase", "reply"),
    [
        ("rcpt", say("450 4.2.0 greylisted")),
        ("data", say("451 4.3.0 not now")),
        # It takes the message all the same: the second copy shows whether it is the same.
        ("dot", say("451 4.3.1 no room", accept=True)),
    ],
)
def test_s07_the_envelope_and_the_message_stay_the_same(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, phase: str, reply: Act
) -> None:
    smtp.server.script[phase] = [reply, reply]
    settings = {"recipients": "Ann <ann@example.org>", "bounce_address": "bounces@example.org"}
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **settings) as daemon:
        publish(redis_server.url, "kinto-notify", event(change("x")))
        smtp.wait_for(3 if phase == "dot" else 1)
        eventually(lambda: daemon.metric('kinto_notify_deliveries_total{outcome="sent"}') == 1)
        assert daemon.metric('kinto_notify_deliveries_total{outcome="deferred"}') == 2
        deferred = daemon.told("deferred")
        assert [line["attempts"] for line in deferred] == [1, 2]
        assert daemon.stop() == 0
    commands = [line for connection in smtp.server.connections for line in connection.lines]
    envelopes = [line for line in commands if line.startswith((b"MAIL", b"RCPT"))]
    assert len(envelopes) == 6
    # With the size of the message in it.
    assert len(set(envelopes)) == 2
    assert len({mail.raw for mail in smtp.mails}) == 1
