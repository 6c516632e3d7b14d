"""C14: after a long outage old changes are mailed once and marked late; what is no news any more is a dead letter."""

import re
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.events import aged, change, event, publish
from support.mail_linter import lint, parse
from support.smtp_server import SmtpServerThread

HOUR, DAY = 3_600, 86_400
PREFIX = "{kinto-notify}"


def run_once(daemon: DaemonProcess) -> None:
    daemon.start("--once")
    assert daemon.process is not None
    assert daemon.process.wait(60) == 0


def test_c14_changes_of_before_an_outage_of_72_hours_come_once_and_say_so(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    daemon = DaemonProcess(tmp_path, redis_server.url, smtp.url, recipients="anna@example.org")
    publish(
        redis_server.url,
        "kinto-notify",
        *(event(change(f"r{n}"), ident=aged(72 * HOUR - n * HOUR)) for n in range(3)),
        event(change("fresh"), collection_id="other"),
        event(change("delayed"), ident=aged(2 * HOUR), collection_id="third"),
        event(change("soon"), ident=aged(HOUR // 2), collection_id="fourth"),
    )
    run_once(daemon)
    run_once(daemon)
    told = {str(parse(mail.data)["X-Kinto-Collection"]): mail.data for mail in smtp.mails}
    assert len(smtp.mails) == len(told) == 4
    assert all(lint(one) == [] for one in told.values())
    for collection, age in (("c", "3 days"), ("third", "2 hours")):
        mail = parse(told[collection])
        parts = [part.get_content() for part in mail.iter_parts()]
        for said in (str(mail["X-Kinto-Late"]), *parts):
            words = " ".join(said.split())
            assert re.search(rf"This mail is late: it was held up, .* {age} before it, on \d", words), words
    for collection in ("other", "fourth"):
        assert b"X-Kinto-Late" not in told[collection]
        assert b"is late" not in told[collection]


def test_c14_what_is_too_old_is_a_dead_letter_and_goes_out_when_it_is_tried_again(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    daemon = DaemonProcess(
        tmp_path, redis_server.url, smtp.url, recipients="anna@example.org", give_up_after="1d", stream_keep="2d"
    )
    old = [event(change(f"old{n}"), ident=aged(2 * DAY + HOUR)) for n in range(2)]
    publish(redis_server.url, "kinto-notify", *old, event(change("new"), ident=aged(2 * DAY - HOUR)))
    run_once(daemon)
    (mail,) = smtp.mails
    assert b"old0" not in mail.data
    assert len(daemon.told("entry buried")) == 2
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.zcard(f"{PREFIX}:dead") == 2
        found = command("dead-letters", "list", redis_url=redis_server.url, sender="kinto@example.org")
        assert found.stdout.count("too old to be news when it came") == 2
        done = command("dead-letters", "retry", "--all", redis_url=redis_server.url, sender="kinto@example.org")
        assert done.stdout == "2 will be tried again\n"
        run_once(daemon)
        assert client.zcard(f"{PREFIX}:dead") == 0
    again = parse(smtp.mails[1].data)
    assert "2 records created" in str(again["Subject"])
    assert "2 days before it" in str(again["X-Kinto-Late"])
    assert len(smtp.mails) == 2


def test_digests_that_waited_for_the_relay_say_so(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """The outage is made by setting back when the open digest was due and begun: nobody waits for hours here."""
    daemon = DaemonProcess(
        tmp_path, redis_server.url, smtp.url, recipients="anna@example.org", digest_wait="1h", digest_interval="2h"
    )
    publish(redis_server.url, "kinto-notify", event(change("a")))
    run_once(daemon)
    with redis.Redis.from_url(redis_server.url) as client:
        ((digest, due),) = client.zrange(f"{PREFIX}:due", 0, -1, withscores=True)
        back = 30 * HOUR * 1000
        client.zadd(f"{PREFIX}:due", {digest: due - back})
        for name in ("first", "oldest"):
            client.hincrby(f"{PREFIX}:digest:{digest.decode()}", name, -back)
    run_once(daemon)
    (mail,) = smtp.mails
    assert "30 hours before it" in str(parse(mail.data)["X-Kinto-Late"])
