"""A large backlog becomes few mails with true totals, in bounded memory."""

from pathlib import Path

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.events import change, event, publish
from support.inbox import letters
from support.smtp_server import SmtpServerThread
from support.stream import eventually

EVENTS = 100_000
COLLECTIONS = 10


def test_a_hundred_thousand_events(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(
        '[[subscription]]\nname = "all"\nrecipients = ["anna@example.org"]\ntemplate = "machine"\n'
        'digest = { wait = "5s", interval = "10s", max_wait = "60s" }\n'
    )
    for start in range(0, EVENTS, 10_000):
        batch = [event(change(f"r{n}"), collection_id=f"c{n % COLLECTIONS}") for n in range(start, start + 10_000)]
        publish(redis_server.url, "kinto-notify", *batch)
    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        eventually(lambda: sum(letter.total() for letter in letters(list(smtp.mails))) == EVENTS, 120)
        assert daemon.peak() < 256 * 1024 * 1024
        assert daemon.stop() == 0
    assert len(smtp.mails) <= 40
    assert len({letter.ident for letter in letters(smtp.mails)}) == len(smtp.mails)
    assert max(len(mail.data) for mail in smtp.mails) < 100_000
