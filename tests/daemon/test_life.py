"""A daemon's life: ready, reload, drain, the second signal, the watchdog."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters, uris
from support.smtp_script import hang, say
from support.smtp_server import SmtpServerThread
from support.stream import eventually


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(30)

    def until(self, word: str) -> list[str]:
        """Receive until a message holds the word; return all of them."""
        received = []
        while not received or word not in received[-1]:
            received.append(self.socket.recv(4096).decode())
        return received


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


@pytest.fixture
def daemon(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> Iterator[DaemonProcess]:
    made = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine)
    yield made
    made.kill()


def test_the_service_manager_is_told(daemon: DaemonProcess, manager: Manager) -> None:
    daemon.extra_environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "3000000"}
    daemon.start()
    assert "READY=1" in manager.until("READY=1")[-1]
    manager.until("WATCHDOG=1")
    daemon.signal(signal.SIGHUP)
    told = manager.until("READY=1")
    assert any("RELOADING=1" in one and "MONOTONIC_USEC=" in one for one in told)
    manager.until("WATCHDOG=1")
    assert daemon.stop() == 0
    assert "STOPPING=1" in manager.until("STOPPING=1")[-1]


def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    """D16."""
    table = Path(machine["subscriptions"])
    good = table.read_text()
    daemon.start().wait_told("ready")
    table.write_text("[[subscription]\nthis is no TOML")
    daemon.signal(signal.SIGHUP)
    (refused,) = daemon.wait_told("reload refused, the old configuration stays")
    assert str(table) in refused["problems"][0]
    publish(redis_server.url, "kinto-notify", event(change("before")))
    assert [mail.recipient for mail in smtp.wait_for(1)] == ["anna@example.org"]
    table.write_text(good.replace("anna@", "ben@"))
    daemon.signal(signal.SIGHUP)
    daemon.wait_told("reloaded")
    publish(redis_server.url, "kinto-notify", event(change("after")))
    assert [mail.recipient for mail in smtp.wait_for(2)][1:] == ["ben@example.org"]
    assert daemon.stop() == 0


def test_the_first_sigterm_finishes_what_is_in_hand(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """D13: the reply to the dot comes after the signal, and the mail is settled as sent."""
    gate = asyncio.Event()
    smtp.server.script["dot"] = [say("250 2.0.0 queued", gate=gate)]
    daemon.start()
    publish(redis_server.url, "kinto-notify", event(change("slow")))
    smtp.wait_for(1)
    daemon.signal(signal.SIGTERM)
    daemon.wait_told("draining")
    # What comes now waits for the next daemon.
    publish(redis_server.url, "kinto-notify", event(change("late")))
    smtp._loop.call_soon_threadsafe(gate.set)
    assert daemon.process is not None
    assert daemon.process.wait(30) == 0
    assert len(daemon.told("sent")) == 1
    assert daemon.told("stopped")[0]["drained"] is True
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.zcard("{kinto-notify}:deliveries") == 0
    daemon.start()
    eventually(lambda: len(uris(letters(list(smtp.mails)))) == 2)
    assert len(smtp.mails) == 2


def test_a_dot_without_a_reply_when_the_drain_ends_is_ambiguous(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """Not due again for ten minutes: the smarthost may have it."""
    smtp.server.script["dot"] = [hang(accept=True)]
    daemon.variables["drain_timeout"] = "1s"
    daemon.start()
    publish(redis_server.url, "kinto-notify", event(change("slow")))
    smtp.wait_for(1)
    assert daemon.stop() == 0
    assert daemon.told("stopped")[0]["drained"] is False
    with redis.Redis.from_url(redis_server.url) as client:
        ((ident, due),) = client.zrange("{kinto-notify}:deliveries", 0, -1, withscores=True)
        seconds, _ = client.time()
        assert due / 1000 > seconds + 500
        assert b"dot" in (client.hget(f"{{kinto-notify}}:delivery:{ident.decode()}", "reply") or b"")


def test_a_session_that_has_not_handed_over_is_given_back_when_the_drain_ends(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    smtp.server.script["rcpt"] = [hang()]
    daemon.variables["drain_timeout"] = "1s"
    daemon.start()
    publish(redis_server.url, "kinto-notify", event(change("slow")))
    eventually(lambda: smtp.server.reached["rcpt"])
    assert daemon.stop() == 0
    daemon.start()
    eventually(lambda: smtp.mails)
    assert len(smtp.mails) == 1


def test_the_second_signal_ends_at_once(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """D15: exit code 1, and the lease runs out by itself."""
    smtp.server.script["dot"] = [hang()]
    daemon.start()
    publish(redis_server.url, "kinto-notify", event(change("slow")))
    eventually(lambda: smtp.server.reached["dot"])
    daemon.signal(signal.SIGTERM)
    daemon.wait_told("draining")
    daemon.signal(signal.SIGTERM)
    assert daemon.process is not None
    assert daemon.process.wait(10) == 1
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.zcard("{kinto-notify}:deliveries") == 1


def test_a_frozen_daemon_that_comes_back_makes_at_most_one_copy(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """D11: stopped before the dot, its lease ended by hand, another daemon delivers; then it wakes up."""
    gate = asyncio.Event()
    smtp.server.script["data"] = [say("354 go ahead", gate=gate)]
    daemon.start()
    publish(redis_server.url, "kinto-notify", event(change("slow")))
    eventually(lambda: smtp.server.reached["data"])
    daemon.signal(signal.SIGSTOP)
    with redis.Redis.from_url(redis_server.url) as client:
        (ident,) = client.zrange("{kinto-notify}:deliveries", 0, -1)
        client.zadd("{kinto-notify}:deliveries", {ident: 0})
        other = DaemonProcess(daemon.log.parent, redis_server.url, smtp.url, name="two")
        other.variables = {**daemon.variables, "name": "two", "web_bind": "off"}
        with other:
            smtp.wait_for(1)
            eventually(lambda: not client.zcard("{kinto-notify}:deliveries"))
        daemon.signal(signal.SIGCONT)
        smtp._loop.call_soon_threadsafe(gate.set)
        daemon.wait_told("sent")
        assert not client.zcard("{kinto-notify}:deliveries")
        assert daemon.stop() == 0
    # Its lease still stood by its own clock: at most one copy, under the same Message-ID.
    assert len({letter.ident for letter in letters(smtp.mails)}) == 1


def test_no_child_and_no_thread_keeps_it_alive(daemon: DaemonProcess) -> None:
    daemon.start().wait_told("ready")
    assert daemon.process is not None
    pid = daemon.process.pid
    assert daemon.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_drain_ends_in_time_though_redis_hangs(
    daemon: DaemonProcess, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    """DRAIN_TIMEOUT and a few seconds hold in every case: each call to Redis waits 15 s for its answer."""
    gate = asyncio.Event()
    smtp.server.script["dot"] = [say("250 2.0.0 queued", gate=gate)]
    daemon.variables["drain_timeout"] = "1s"
    daemon.start()
    publish(redis_server.url, "kinto-notify", event(change("slow")))
    smtp.wait_for(1)
    redis_server.signal(signal.SIGSTOP)
    # Sent, and Redis cannot be told.
    smtp._loop.call_soon_threadsafe(gate.set)
    daemon.wait_told("sent")
    assert daemon.process is not None
    daemon.signal(signal.SIGTERM)
    # 1 s for the rooms, 5 s for Redis, 1 s for the ledger: the first call alone would wait longer than this.
    assert daemon.process.wait(13) == 0
    assert daemon.told("stopped")[0]["drained"] is False
    assert daemon.told("room failed") == []
