"""`run --once` and `run` with wrong settings: what is due is done, and faults end with their exit code."""

import json
from typing import Any

import pytest

from kinto_notify.demo.servers import RedisServer, free_port
from support.desk import Desk
from support.events import change, event
from support.mail_linter import lint
from support.smtp_server import SmtpServerThread


def log(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def told(text: str, name: str) -> list[dict[str, Any]]:
    return [line for line in log(text) if line["event"] == name]


def test_files_composes_sends_and_ends(desk: Desk, smtp: SmtpServerThread) -> None:
    desk.publish(*(event(change(f"r{n}")) for n in range(30)), event(change("x"), collection_id="other"))
    done = desk("run", "--once", recipients="ann@example.org, ben@example.net")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(mail.recipient for mail in smtp.mails) == ["ann@example.org"] * 2 + ["ben@example.net"] * 2
    assert all(lint(mail.data) == [] for mail in smtp.mails)
    assert sum(b"Subject: [b/c] 30 records created" in mail.data for mail in smtp.mails) == 2
    assert log(done.stdout)[0]["event"] == "starting"
    assert log(done.stdout)[-1]["event"] == "stopped"
    assert len(told(done.stdout, "sent")) == 4
    again = desk("run", "--once")
    assert again.returncode == 0
    assert len(smtp.mails) == 4


def test_nothing_to_do_is_no_fault(desk: Desk, smtp: SmtpServerThread) -> None:
    done = desk("run", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert smtp.server.connections == []


def test_what_is_not_due_yet_stays(desk: Desk, smtp: SmtpServerThread) -> None:
    desk.publish(event())
    assert desk("run", "--once", digest_wait="1h").returncode == 0
    assert smtp.mails == []
    assert json.loads(desk("status", "--json").stdout)["open_digests"] == 1


def test_without_redis(nowhere: Desk) -> None:
    done = nowhere("run", "--once")
    assert done.returncode == 69
    (line,) = done.stderr.splitlines()
    assert line.startswith("kinto-notify: Redis: ")


def test_without_a_smarthost_nothing_is_lost(desk: Desk, smtp: SmtpServerThread) -> None:
    desk.publish(event(change("kept")))
    down = desk("run", "--once", smtp_url=f"smtp://127.0.0.1:{free_port()}")
    assert down.returncode == 69
    (line,) = down.stderr.splitlines()
    assert line.startswith("kinto-notify: 127.0.0.1:")
    assert line.endswith("at connect: connection refused")
    assert len(told(down.stdout, "smarthost unavailable")) == 1
    numbers = json.loads(desk("status", "--json").stdout)
    assert (numbers["deliveries"], numbers["dead_letters"]) == (1, 0)
    while json.loads(desk("status", "--json").stdout)["deliveries"]:
        # What the fault gave back rests for a second.
        assert desk("run", "--once").returncode == 0
    (mail,) = smtp.mails
    assert b"Title of kept" in mail.data


@pytest.mark.parametrize(
    ("phase", "reply", "shown"),
    [
        ("connect", "554 5.3.2 go away", "at greeting: 554 5.3.2 go away"),
        ("connect", "421 4.3.2 later", "at greeting: 421 4.3.2 later"),
        ("mail", "550 5.7.1 sender not allowed", "at MAIL: 550 5.7.1 sender not allowed"),
    ],
)
def test_s02_a_relay_at_fault_buries_nothing(
    desk: Desk, smtp: SmtpServerThread, phase: str, reply: str, shown: str
) -> None:
    smtp.server.script[phase] = reply
    desk.publish(*(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(5)))
    done = desk("run", "--once", smtp_sessions="2")
    assert done.returncode == 69
    assert shown in done.stderr
    numbers = json.loads(desk("status", "--json").stdout)
    assert (numbers["deliveries"], numbers["dead_letters"], smtp.mails) == (5, 0, [])


def test_one_bad_thing_harms_nothing_else(desk: Desk, smtp: SmtpServerThread) -> None:
    """Entries of every malformed kind, a refused and a deferred address: the good ones get their mail."""
    good = event(change("good"))
    big = event(change("big", new={"id": "big", "title": "Big", "text": "x" * 1_000_000}))
    desk.publish_raw(v="1", event="")
    desk.publish_raw(v="2", event=json.dumps(good))
    desk.publish_raw(v="1")
    desk.publish_raw(event=json.dumps(good))
    desk.publish_raw(v="1", event="[" * 10_000)
    desk.publish_raw(v="1", event=json.dumps({**good, "data": {}}))
    desk.publish_raw(other="1")
    desk.publish(good, big)
    done = desk("run", "--once", recipients="refuse-550@x.example, defer-450@x.example, reader@example.org")
    assert (done.returncode, done.stderr) == (0, "")
    assert [mail.recipient for mail in smtp.mails] == ["reader@example.org"]
    assert b"2 records created" in smtp.mails[0].data
    buried = told(done.stdout, "entry buried")
    assert len(buried) == 7
    assert all(line["reason"] and len(line["reason"]) < 500 for line in buried)
    numbers = json.loads(desk("status", "--json").stdout)
    assert (numbers["dead_letters"], numbers["deliveries"], numbers["pending"]) == (8, 1, 0)


@pytest.mark.parametrize("arguments", [["run"], ["run", "--once"], ["status"], ["preview"], ["dead-letters", "list"]])
def test_g01_g02_wrong_settings_are_told_all_at_once(arguments: list[str]) -> None:
    desk = Desk("http://localhost", "smtp://localhost:0", smpt_url="x", digest_wait="-1s", smtp_sessions="0")
    done = desk(*arguments)
    assert (done.returncode, done.stdout) == (78, "")
    names = ["DIGEST_WAIT", "REDIS_URL", "SMPT_URL", "SMTP_SESSIONS", "SMTP_URL"]
    lines = sorted(done.stderr.splitlines())
    assert [line.split(":")[1].strip() for line in lines] == [f"KINTO_NOTIFY_{name}" for name in names]


def test_a_port_that_is_taken(desk: Desk, redis_server: RedisServer) -> None:
    done = desk("run", web_bind=f"127.0.0.1:{redis_server.port}")
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kinto-notify: KINTO_NOTIFY_WEB_BIND: cannot listen on 127.0.0.1:{redis_server.port}: ")
