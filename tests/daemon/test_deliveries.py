"""What becomes of a delivery: sent, deferred, refused, given up; and that one bad thing harms nothing else."""

import json
from pathlib import Path

import redis

from kinto_notify import wire
from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.events import change, event, publish
from support.inbox import letters, uris
from support.smtp_server import SmtpServerThread
from support.stream import eventually

NAMESPACE = "kinto-notify"


def subscribe(machine: dict[str, str], *recipients: str) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace('["anna@example.org"]', json.dumps(recipients)))


def dead(redis_server: RedisServer) -> list[dict[str, object]]:
    told = command("dead-letters", "list", "--json", redis_url=redis_server.url, sender="kinto@example.org")
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_one_refused_and_one_deferred_harm_nobody_else(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """S07, S09: 550 goes to the dead letters, 450 is tried again, all others are delivered at once."""
    subscribe(machine, "anna@example.org", "refuse-550@example.org", "greylist@example.org", "ben@example.org")
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, event(change("x")))
        eventually(lambda: len(smtp.mails) == 3)
        assert sorted(mail.recipient for mail in smtp.mails) == [
            "anna@example.org",
            "ben@example.org",
            "greylist@example.org",
        ]
        (deferred,) = daemon.told("deferred")
        assert "450" in deferred["reply"]
        (refused,) = daemon.wait_told("refused")
        assert "550" in refused["reply"]
        eventually(lambda: dead(redis_server))
        (letter,) = dead(redis_server)
        assert (letter["kind"], letter["recipient"], letter["attempts"]) == ("delivery", "refuse-550@example.org", 1)
        assert daemon.metric('kinto_notify_deliveries_total{outcome="sent"}') == 3
        assert daemon.stop() == 0


def test_a_deferred_one_is_given_up_when_it_is_too_old(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    subscribe(machine, "defer-451@example.org")
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, give_up_after="3s") as daemon:
        publish(redis_server.url, NAMESPACE, event(change("x")))
        daemon.wait_told("gave up")
        assert len(daemon.told("deferred")) >= 2
        eventually(lambda: dead(redis_server))
        (letter,) = dead(redis_server)
        assert "given up after" in str(letter["reason"])
        assert "451" in str(letter["reason"])
        assert smtp.mails == []


def test_a_wrong_password_buries_nothing(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """S03: the circuit opens; once the password is right at the relay, all is delivered."""
    smtp.server.users = {"kinto": "right"}
    url = smtp.url.replace("smtp://", "smtp://kinto:s3cret-wrong@")
    with DaemonProcess(tmp_path, redis_server.url, url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, *(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(5)))
        (down, *_) = daemon.wait_told("smarthost unavailable")
        assert "535" in down["reason"]
        eventually(lambda: smtp.server.reached["auth"] >= 2)
        assert dead(redis_server) == []
        smtp.server.users = {"kinto": "s3cret-wrong"}
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == 5)
        assert daemon.stop() == 0
        assert "s3cret" not in daemon.log.read_text()


#: Entries that cannot be read, and what the dead letter must say of each.
MALFORMED = (
    ({"v": "1", "event": "{"}, "Invalid JSON"),
    ({"v": "1", "event": '"\xff"'}, "event: "),
    ({"v": "1", "event": "[]"}, "event: "),
    ({"v": "2", "event": "{}"}, "entry of version '2'"),
    ({"event": "{}"}, "entry without field 'v'"),
    ({"v": "1"}, "entry without field 'event'"),
    ({"v": "1", "event": '{"id": "x", "source": "s", "type": "t"}'}, "data: Field required"),
    ({"v": "1", "event": json.dumps(event(change("x"), changes=[{"new": {}}]))}, "data.changes.0.id: Field required"),
    ({"something": "else"}, "entry without field 'v'"),
)


def test_malformed_entries_become_dead_letters(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """C15, D17: each between two good ones, which are delivered."""
    with redis.Redis.from_url(redis_server.url) as client:
        for number, (bad, _) in enumerate(MALFORMED):
            publish(redis_server.url, NAMESPACE, event(change(f"r{number}")))
            client.xadd(wire.events_key(NAMESPACE), {name: value.encode("latin-1") for name, value in bad.items()})
        publish(redis_server.url, NAMESPACE, event(change("last")))
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == len(MALFORMED) + 1)
        daemon.wait_told("entry buried", len(MALFORMED))
        assert daemon.stop() == 0
    found = dead(redis_server)
    assert {letter["kind"] for letter in found} == {"entry"}
    reasons = [str(letter["reason"]) for letter in sorted(found, key=lambda letter: str(letter["id"]))]
    assert len(reasons) == len(MALFORMED)
    for (_, expected), reason in zip(MALFORMED, reasons, strict=True):
        assert expected in reason


def test_a_record_of_a_megabyte_disturbs_nothing(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """K16, as another producer might write it: our own listener cuts it. Its mail stays small."""
    big = change(
        "big", new={"id": "big", "last_modified": 1, "text": "x" * 1_000_000, "deep": json.loads("[" * 90 + "]" * 90)}
    )
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, event(big), event(change("small")))
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == 2)
        assert daemon.stop() == 0
    assert max(len(mail.data) for mail in smtp.mails) < 100_000


def test_a_republished_event_is_mailed_once(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """K08: also when the copy comes after the mail, and after a restart of the daemon."""
    one = event(change("x"))
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, one, one)
        smtp.wait_for(1)
        assert daemon.stop() == 0
        daemon.start()
        publish(redis_server.url, NAMESPACE, one, event(change("y")))
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == 2)
        assert daemon.stop() == 0
    assert len(smtp.mails) == 2


def test_another_groups_unread_entries_stay_in_the_stream(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """A consumer in another language gets all of it; what everybody has read goes."""
    key = wire.events_key(NAMESPACE)
    with redis.Redis.from_url(redis_server.url) as client:
        publish(redis_server.url, NAMESPACE, *(event(change(f"r{n}")) for n in range(3)))
        client.xgroup_create(key, "another", id="0")
        with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine):
            eventually(lambda: len(uris(letters(list(smtp.mails)))) == 3)
            ((_, entries),) = client.xreadgroup("another", "me", {key: ">"})
            assert len(entries) == 3
            client.xack(key, "another", entries[0][0])
            # Two of them are not acknowledged: they stay, the first one goes.
            eventually(lambda: client.xlen(key) == 2)
            client.xack(key, "another", *(ident for ident, _ in entries[1:]))
            eventually(lambda: client.xlen(key) == 0)


def test_a_flushed_redis_is_taken_as_new(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """R04, R20: no group, no scripts; the daemon makes them again and goes on."""
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        publish(redis_server.url, NAMESPACE, event(change("before")))
        smtp.wait_for(1)
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
            client.script_flush()
        publish(redis_server.url, NAMESPACE, event(change("after")))
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == 2)
        assert daemon.stop() == 0
