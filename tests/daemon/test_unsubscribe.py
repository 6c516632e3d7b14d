"""X11: one click stops exactly that person and that subscription, at every daemon, from that moment on."""

import re
import urllib.request
from email import message_from_bytes
from pathlib import Path

import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.smtp_server import SmtpServerThread
from support.stream import eventually

HOST = "notify.example.org"
SETTINGS = {"public_url": f"https://{HOST}", "secret": "0123456789abcdef"}
TABLE = """
[[subscription]]
name = "all"
recipients = ["anna@example.org", "ben@example.org"]
digest = { wait = "0s", interval = "0s" }

[[subscription]]
name = "again"
recipients = ["anna@example.org"]
digest = { wait = "0s", interval = "0s" }
"""


def write(redis_server: RedisServer, start: int, number: int) -> None:
    names = range(start, start + number)
    publish(redis_server.url, "kinto-notify", *(event(change(f"r{one}"), collection_id=f"c{one}") for one in names))


def link(smtp: SmtpServerThread, name: str) -> str:
    """The path in the header of the first mail of a subscription to anna."""
    for mail in smtp.mails:
        parsed = message_from_bytes(mail.data)
        if mail.recipient == "anna@example.org" and parsed["X-Kinto-Reason"] == f"file#{name}":
            assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            text, html = (part.get_payload(decode=True).decode() for part in parsed.walk() if not part.is_multipart())
            (url,) = re.findall(r"<(.*)>", parsed["List-Unsubscribe"])
            assert url in text
            assert f'href="{url}"' in html
            return str(url.removeprefix(f"https://{HOST}"))
    raise AssertionError("no such mail")


def click(daemon: DaemonProcess, path: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}{path}", data=b"List-Unsubscribe=One-Click", headers={"Host": HOST}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def count(smtp: SmtpServerThread) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for mail in list(smtp.mails):
        kind = (mail.recipient.partition("@")[0], message_from_bytes(mail.data)["X-Kinto-Reason"])
        found[kind] = found.get(kind, 0) + 1
    return found


def test_x11_one_click_at_one_daemon_stops_both(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    (tmp_path / "table.toml").write_text(TABLE)
    given = {**SETTINGS, "subscriptions": str(tmp_path / "table.toml")}
    with (
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **given, name="one") as one,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **given, name="two") as two,
    ):
        for daemon in (one, two):
            daemon.wait_told("ready")
        write(redis_server, 0, 1)
        eventually(lambda: len(smtp.mails) == 3)
        path = link(smtp, "all")
        # A scanner.
        assert one.get(path, {"Host": HOST})[0] == 200
        assert two.get("/metrics", {"Host": HOST})[0] == 421
        write(redis_server, 1, 1)
        eventually(lambda: len(smtp.mails) == 6)
        assert click(one, path) == "unsubscribed\n"
        # At once, and at whichever daemon takes it.
        write(redis_server, 2, 20)
        eventually(lambda: sum(count(smtp).values()) >= 46)
        assert [daemon.stop() for daemon in (one, two)] == [0, 0]
    assert count(smtp) == {("anna", "file#all"): 2, ("anna", "file#again"): 22, ("ben", "file#all"): 22}


def test_a_mail_that_waits_for_the_relay_is_thrown_away(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    (tmp_path / "table.toml").write_text(TABLE)
    given = {**SETTINGS, "subscriptions": str(tmp_path / "table.toml")}
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **given) as daemon:
        write(redis_server, 0, 1)
        eventually(lambda: len(smtp.mails) == 3)
        smtp.server.script["rcpt"] = "451 4.7.1 later"
        write(redis_server, 1, 1)
        daemon.wait_told("deferred", 3)
        click(daemon, link(smtp, "all"))
        smtp.server.script["rcpt"] = "250 2.1.5 ok"
        (told,) = daemon.wait_told("unwanted")
        assert told["reason"] == "unsubscribed"
        eventually(lambda: len(smtp.mails) == 5)
        assert daemon.stop() == 0
    assert count(smtp) == {("anna", "file#all"): 1, ("anna", "file#again"): 2, ("ben", "file#all"): 2}


def test_one_mail_a_day_for_who_wants_no_more(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    (tmp_path / "table.toml").write_text(TABLE)
    given = {**SETTINGS, "subscriptions": str(tmp_path / "table.toml")}
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **given) as daemon:
        write(redis_server, 0, 1)
        eventually(lambda: len(smtp.mails) == 3)
        request = urllib.request.Request(
            f"http://127.0.0.1:{daemon.port}{link(smtp, 'all')}", data=b"act=daily", headers={"Host": HOST}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert "One mail a day of the subscription “all”" in answer.read().decode()
        with redis.Redis.from_url(redis_server.url) as client:

            def gathered() -> int:
                """How many changes wait for anna, sending one more each time: intake looks now and then."""
                write(redis_server, int(client.incr("number")), 1)
                found = [client.hgetall(name) for name in client.scan_iter("{kinto-notify}:digest:*")]
                return sum(int(one[b"changes"]) for one in found if one.get(b"audience") == b"daily anna@example.org")

            eventually(lambda: gathered() > 3)
            before = count(smtp)[("anna", "file#all")]
            for _ in range(5):
                gathered()
            ((_, due),) = client.zrange("{kinto-notify}:due", 0, -1, withscores=True)[-1:]
            assert int(due) % 86_400_000 == 9 * 3_600_000
            total = 1 + int(client.get("number") or 0)
        eventually(lambda: count(smtp)[("ben", "file#all")] == total)
        assert count(smtp)[("anna", "file#all")] == before
        assert daemon.stop() == 0
