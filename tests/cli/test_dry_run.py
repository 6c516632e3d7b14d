"""`DRY_RUN`: what would be sent is told; nothing is sent, acknowledged or moved."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from support.daemon import DaemonProcess
from support.desk import Desk
from support.events import aged, change, event
from support.smtp_server import SmtpServerThread


def told(text: str, name: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == name]


@pytest.fixture
def busy(desk: Desk, smtp: SmtpServerThread) -> Desk:
    """Something at every station: an open digest, a deferred and a buried mail, dead and new entries."""
    desk.publish_raw(v="1", event="poison")
    desk.publish(event(change("early")))
    assert desk("run", "--once", recipients="defer-450@example.org, refuse-550@example.org").returncode == 0
    desk.publish(event(change("open"), collection_id="open"))
    assert desk("run", "--once", digest_wait="1h", retry_min="1h").returncode == 0
    desk.publish(event(change("a")), event(change("b")), event(change("c"), collection_id="other"))
    desk.publish_raw(v="1", event="more poison")
    smtp.server.connections.clear()
    return desk


def test_nothing_is_touched_and_all_is_told(busy: Desk, smtp: SmtpServerThread) -> None:
    before = busy.keyspace()
    assert any(b":deliveries" in key for key in before)
    done = busy("run", "--once", dry_run="true", recipients="ann@example.org, ben@example.org")
    assert (done.returncode, done.stderr) == (0, "")
    assert busy.keyspace() == before
    assert (smtp.server.connections, smtp.mails) == ([], [])
    assert len(told(done.stdout, "would send")) == 4, "two digests to two recipients"
    assert len(told(done.stdout, "entry buried")) == 1
    assert any("DRY_RUN" in line["warning"] for line in told(done.stdout, "configuration"))


def test_before_the_first_daemon(desk: Desk, smtp: SmtpServerThread) -> None:
    """No group, perhaps no stream: neither is made."""
    empty = desk.keyspace()
    assert desk("run", "--once", dry_run="1").returncode == 0
    assert desk.keyspace() == empty
    desk.publish(event())
    before = desk.keyspace()
    done = desk("run", "--once", dry_run="1")
    assert done.returncode == 0
    assert len(told(done.stdout, "would send")) == 1
    assert desk.keyspace() == before
    assert desk("run", "--once").returncode == 0
    assert len(smtp.mails) == 1


def test_without_redis(nowhere: Desk) -> None:
    done = nowhere("run", "--once", dry_run="true")
    assert done.returncode == 69
    assert done.stderr.startswith("kinto-notify: Redis: ")


def test_it_follows_the_stream_until_it_is_stopped(tmp_path: Path, desk: Desk, smtp: SmtpServerThread) -> None:
    variables = {**desk.variables, "dry_run": "true"}
    variables = {name: text for name, text in variables.items() if name not in ("redis_url", "smtp_url")}
    with DaemonProcess(tmp_path, desk.redis_url, smtp.url, **variables) as daemon:
        desk.publish(event(change("one")))
        daemon.wait_told("would send")
        desk.publish(event(change("two"), collection_id="other"))
        daemon.wait_told("would send", 2)
        before = desk.keyspace()
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0
    assert desk.keyspace() == before
    assert smtp.server.connections == []
    assert not [line for line in daemon.lines() if "text" in line]


def test_what_is_no_news_any_more_is_not_told_as_a_mail(desk: Desk) -> None:
    desk.publish(event(change("old"), ident=aged(30 * 86_400)), event(change("new")))
    done = desk("run", "--once", dry_run="true")
    assert len(told(done.stdout, "would send")) == len(told(done.stdout, "entry buried")) == 1
