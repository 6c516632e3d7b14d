"""K25: the clock of Kinto's host is wrong, jumps ahead and back: order and due times are not its business."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess
from support.inbox import letters
from support.kinto_app import RECORDS, close, kinto_app, listening
from support.smtp_server import SmtpServerThread
from support.stream import StreamReader, eventually

DAY = timedelta(days=1)


def test_k25_a_kinto_whose_clock_jumps_a_day_ahead_and_back(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace('wait = "0s"', 'wait = "1s"'))
    app = kinto_app(listening(redis_server.url, tmp_path / "spool"))
    stream = StreamReader(redis_server.url)
    # Somebody else reads too, and has not read yet: nothing is trimmed meanwhile.
    stream.client.xgroup_create(stream.key, "other", id="0", mkstream=True)
    written: list[int] = []

    def write(number: int) -> None:
        for _ in range(number):
            app.put_json(f"{RECORDS}/r", {"data": {"n": len(written)}})
            written.append(len(written))
        # The next clock is for the next writes only: what these gave must have left by the present one.
        stream.wait(len(written) + 2)

    with DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon:
        app.put_json("/v1/buckets/b")
        app.put_json("/v1/buckets/b/collections/c")
        write(3)
        with time_machine.travel(datetime.now(UTC) + DAY, tick=True):
            write(3)
        write(3)
        with time_machine.travel(datetime.now(UTC) - DAY, tick=True):
            write(3)

        def told() -> list[list[int]]:
            """What each mail says of the field, from its first line to its last."""
            found = letters(list(smtp.mails))
            return [[int(one.new) for one in letter.told() if one.pointer == "/n"] for letter in found]

        # An hour, let alone a day, would be more than this waits for.
        eventually(lambda: sum(map(len, told())) == len(written))
        assert daemon.stop() == 0
    assert sorted(n for mail in told() for n in mail) == written
    assert all(mail == sorted(mail) for mail in told())
    events = stream.events()[2:]
    assert [event["data"]["changes"][0]["new"]["n"] for event in events] == written
    times = [event["time"] for event in events]
    assert times != sorted(times), "the clock did not jump"
    stream.close()
    close(app)
