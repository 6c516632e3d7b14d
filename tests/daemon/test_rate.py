"""`SMTP_RATE` as the smarthost sees it, by its own clock: never more mails than the rate in any window."""

from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from kinto_notify.rate import parse_rate
from support.daemon import DaemonProcess, command
from support.events import change, event, publish
from support.inbox import letters, uris
from support.smtp_server import SmtpServerThread
from support.stream import eventually
from support.throttling import ThrottlingServer

NAMESPACE = "kinto-notify"


def most_in_a_window(times: list[float], seconds: float) -> int:
    """The most mails in any window that begins with one of them and is open at its end."""
    return max(sum(start <= one < start + seconds for one in times) for start in times)


def publish_mails(redis_server: RedisServer, number: int) -> None:
    """So many events, each of which is a mail of its own."""
    publish(redis_server.url, NAMESPACE, *(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(number)))


def test_a_single_run_does_not_wait_for_ever(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    publish_mails(redis_server, 3)
    settings = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, smtp_rate="1/h").variables
    for _ in range(2):
        told = command("run", "--once", **settings)
        assert told.returncode == 75
        assert "the rate lets no mail go for " in told.stderr
    assert len(smtp.mails) == 1


@pytest.mark.parametrize(("rate", "daemons"), [("20/s", 1), ("10/s", 5)])
def test_m07_the_rate_holds_in_every_window(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str], rate: str, daemons: int
) -> None:
    number, limit = 35, parse_rate(rate)
    publish_mails(redis_server, number)
    running = [
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, smtp_rate=rate, name=f"d{index}").start()
        for index in range(daemons)
    ]
    try:
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == number, 60)
        assert all(one.stop() == 0 for one in running)
    finally:
        for one in running:
            one.kill()
    assert len(smtp.mails) == number
    times = [mail.at for mail in smtp.mails]
    assert most_in_a_window(times, limit.per_ms / 1000) <= limit.count
    # A period does not begin with all of it either.
    assert most_in_a_window(times, limit.window.per_ms / 1000) <= limit.window.count


def test_a_single_run_waits_for_the_rate(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    publish_mails(redis_server, 12)
    settings = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, smtp_rate="300/m").variables
    told = command("run", "--once", **settings)
    assert told.returncode == 0, told.stderr
    assert len(smtp.mails) == 12
    # 300 a minute are 5 a second.
    assert most_in_a_window([mail.at for mail in smtp.mails], 1.0) <= 5


def test_s15_a_relay_that_throttles_gets_what_it_takes(
    tmp_path: Path, redis_server: RedisServer, machine: dict[str, str]
) -> None:
    """Two daemons, no rate set: all is delivered, nothing is buried, and the relay is left in peace."""
    number = 50
    publish_mails(redis_server, number)
    relay = ThrottlingServer(10)
    with SmtpServerThread(relay) as smtp:
        one = DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name="one")
        with one, DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine, name="two") as two:
            eventually(lambda: len(uris(letters(list(smtp.mails)))) == number, 120)
            assert [daemon.stop() for daemon in (one, two)] == [0, 0]
        assert len(smtp.mails) == number
        assert relay.throttled
        # Without a lower rate each mail that waits would knock every few seconds.
        assert len(relay.throttled) < number
        lowered = one.told("rate lowered") + two.told("rate lowered")
        assert lowered
        assert min(line["mails_per_second"] for line in lowered) <= 10
        assert not one.told("refused") + two.told("refused") + one.told("gave up") + two.told("gave up")
