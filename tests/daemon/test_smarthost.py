"""The installed daemon and a smarthost that refuses, stalls, denies everybody, or knows nothing newer than HELO."""

import json
from email import message_from_bytes
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from kinto_notify.smtp.streak import ENOUGH
from support.daemon import DaemonProcess, command
from support.events import change, event, publish
from support.smtp_server import SmtpServer, SmtpServerThread, drop
from support.stream import eventually

NAMESPACE = "kinto-notify"


def subscribe(machine: dict[str, str], *recipients: str) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace('["anna@example.org"]', json.dumps(recipients)))


def dead(redis_server: RedisServer) -> list[dict[str, object]]:
    told = command("dead-letters", "list", "--json", redis_url=redis_server.url, sender="kinto@example.org")
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def sent_to(smtp: SmtpServerThread) -> list[str]:
    return sorted(mail.recipient for mail in smtp.mails)


def test_one_refused_one_deferred_and_one_stalling_keep_nobody_waiting(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """All others have all their mails while the three are as bad as ever, in five digests one after the other."""
    good = [f"good{number}@example.org" for number in range(10)]
    subscribe(machine, "refuse-550@example.org", *good[:5], "defer-450@example.org", "stall@example.org", *good[5:])
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, retry_min="60s", retry_max="60s") as daemon:
        for number in range(5):
            publish(redis_server.url, NAMESPACE, event(change(f"r{number}"), collection_id=f"c{number}"))
            eventually(lambda so_far=number + 1: len(smtp.mails) == 10 * so_far)  # type: ignore[misc]
        eventually(lambda: smtp.server.reached["stall"] == 5)
        assert sent_to(smtp) == sorted(good * 5)
        eventually(lambda: len(daemon.told("deferred")) == 5)
        # Refused, or after the second time not even tried.
        eventually(lambda: len(dead(redis_server)) == 5)
        # No fault of the relay, at no time.
        assert not daemon.told("smarthost unavailable")
        smtp.be_patient()
        eventually(lambda: sent_to(smtp) == sorted([*good, "stall@example.org"] * 5))
        assert daemon.stop() == 0


def test_a_relay_that_denies_everybody_buries_no_more_than_a_few(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """`Relay access denied` after somebody changed the relay's rules: one line says so, and the queue waits."""
    people = [f"person@d{number}.example" for number in range(30)]
    subscribe(machine, *people)
    smtp.server.script["rcpt"] = "554 5.7.1 <you@there>: Relay access denied"
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, event(change("x")))
        (down, *_) = daemon.wait_told("smarthost unavailable")
        assert "5 recipients and more in a row were refused alike; may we relay here?" in down["reason"]
        # It is tried again, and again nobody is buried.
        before = smtp.server.reached["rcpt"]
        eventually(lambda: smtp.server.reached["rcpt"] >= before + 2)
        assert len(dead(redis_server)) == ENOUGH - 1
        assert len(daemon.told("smarthost unavailable")) == 1
        assert smtp.mails == []
        del smtp.server.script["rcpt"]
        eventually(lambda: len(smtp.mails) == 31 - ENOUGH)
        lost = {str(letter["recipient"]) for letter in dead(redis_server)}
        assert sent_to(smtp) == sorted(set(people) - lost)
        assert len(daemon.told("refused")) == len(lost) == ENOUGH - 1
        daemon.wait_told("smarthost is back")
        assert daemon.stop() == 0


def test_s20_c04_a_server_of_the_last_century_gets_plain_mail(
    tmp_path: Path, redis_server: RedisServer, machine: dict[str, str]
) -> None:
    """No EHLO, so neither 8BITMIME nor SMTPUTF8: all is 7-bit, a domain travels as its A-label, a `josé@` can't."""
    subscribe(machine, "josé@example.org", "Bücher <b@bücher.example>", "anna@example.org")
    with SmtpServerThread(SmtpServer(extensions=())) as smtp:
        smtp.server.script["ehlo"] = "502 5.5.1 no EHLO here"
        with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
            title = "Prix élevé: 100 € \N{PARTY POPPER}"
            publish(redis_server.url, NAMESPACE, event(change("x", new={"id": "x", "title": title})))
            eventually(lambda: len(smtp.mails) == 2)
            assert sent_to(smtp) == ["anna@example.org", "b@xn--bcher-kva.example"]
            for mail in smtp.mails:
                assert mail.raw.isascii()
                assert mail.options == ()
                parsed = message_from_bytes(mail.data)
                bodies = [part.get_payload(decode=True) for part in parsed.walk() if not part.is_multipart()]
                assert any(title.encode() in body for body in bodies if isinstance(body, bytes))
            (letter,) = eventually(lambda: dead(redis_server))
            assert letter["recipient"] == "josé@example.org"
            assert "5.6.7" in str(letter["reason"])
            assert daemon.stop() == 0


def test_s12_a_dot_without_a_reply_is_counted_and_left_alone(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """The relay has it, as a rule: no second copy for ten minutes, and the metric says that one may come."""
    smtp.server.script["dot"] = [drop(accept=True)]
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, event(change("x")))
        (line,) = daemon.wait_told("deferred")
        assert line["ambiguous"] is True
        assert daemon.metric("kinto_notify_ambiguous_total") == 1
        # Others go on, over another connection.
        publish(redis_server.url, NAMESPACE, event(change("y"), collection_id="other"))
        daemon.wait_told("sent")
        assert [mail.connection for mail in smtp.mails] == [0, 1]
        with redis.Redis.from_url(redis_server.url) as client:
            ((_, due),) = client.zrange("{kinto-notify}:deliveries", 0, -1, withscores=True)
            seconds, microseconds = client.time()
            assert due - (seconds * 1000 + microseconds // 1000) > 500_000
        assert daemon.stop() == 0
