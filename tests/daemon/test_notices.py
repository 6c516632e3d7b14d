"""Mails to the operator from running daemons: one for all of them, when it can leave."""

import json
import subprocess
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.events import change, event, publish
from support.mail_linter import lint, parse
from support.smtp_server import SmtpServerThread
from support.stream import eventually

OPERATOR = "ops@example.org"
TAG = "{kinto-notify}"
#: What a minute of patience is made shorter by: the notice gathers, and a short outage is no news.
AGED_MS = 120_000


def notices(smtp: SmtpServerThread) -> list[bytes]:
    return [mail.data for mail in smtp.mails if mail.recipient == OPERATOR]


def text_of(mail: bytes) -> str:
    part = parse(mail).get_body(("plain",))
    assert part is not None
    return " ".join(str(part.get_content()).split())


def test_new_dead_letters_are_told_once_by_two_daemons(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace("anna@", "refuse-550@"))
    with (
        redis.Redis.from_url(redis_server.url) as client,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, operator=OPERATOR, **machine) as one,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, operator=OPERATOR, **machine, name="two") as two,
    ):
        eventually(lambda: client.hget(f"{TAG}:notice", "since"))
        client.hincrby(f"{TAG}:notice", "since", -AGED_MS * 2)
        publish(redis_server.url, "kinto-notify", *(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(3)))
        eventually(lambda: client.zcard(f"{TAG}:dead") == 3)
        for ident, when in client.zrange(f"{TAG}:dead", 0, -1, withscores=True):
            client.zadd(f"{TAG}:dead", {ident: when - AGED_MS})
        eventually(lambda: notices(smtp))
        eventually(lambda: one.told("operator told") + two.told("operator told"))
        (mail,) = notices(smtp)
        assert lint(mail) == []
        assert "3 550 5.1.1 at RCPT" in text_of(mail)
        assert b"refuse-550" not in mail
        assert len(one.told("operator told") + two.told("operator told")) == 1
        assert one.stop() == two.stop() == 0


def test_an_outage_is_told_when_it_is_over(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """While no relay works nothing could leave: the mail says from when to when. Meanwhile `status` shows it."""
    smtp.server.users = {"kinto": "right"}
    url = smtp.url.replace("smtp://", "smtp://kinto:s3cret-wrong@")
    with (
        redis.Redis.from_url(redis_server.url) as client,
        DaemonProcess(tmp_path, redis_server.url, url, operator=OPERATOR, **machine) as daemon,
    ):
        publish(redis_server.url, "kinto-notify", event(change("x")))
        eventually(lambda: client.hgetall(f"{TAG}:circuits"))
        shown = status(redis_server)
        assert "relay not used since" in shown.stdout
        assert "535" in shown.stdout
        assert "s3cret" not in shown.stdout
        assert daemon.metric("kinto_notify_circuits_open") == 1
        ((key, value),) = client.hgetall(f"{TAG}:circuits").items()
        # It has lasted for longer than it took us to get here.
        aged = json.loads(value)
        aged[3] -= AGED_MS
        client.hset(f"{TAG}:circuits", key, json.dumps(aged))
        smtp.server.users = {"kinto": "s3cret-wrong"}
        eventually(lambda: notices(smtp))
        (mail,) = notices(smtp)
        assert "could not be used" in str(parse(mail)["Subject"])
        assert "was not used from" in text_of(mail)
        assert "535" in text_of(mail)
        assert b"s3cret" not in mail
        assert daemon.metric("kinto_notify_circuits_open") == 0
        assert daemon.stop() == 0


def status(redis_server: RedisServer) -> "subprocess.CompletedProcess[str]":
    return command("status", redis_url=redis_server.url, sender="kinto@example.org")
