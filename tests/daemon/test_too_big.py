"""S10: a mail that the relay finds too big goes out once more as its summary; if that is refused too, it is kept."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from support.daemon import DaemonProcess, command
from support.events import change, event, publish
from support.mail_linter import parse
from support.smtp_script import Step
from support.smtp_server import SmtpServer, SmtpServerThread

TOO_BIG = "552 5.3.4 Message size exceeds fixed limit"


@dataclass(frozen=True)
class Case:
    """What the relay offers and says, how many mails arrive, and how many become dead letters."""

    mails: int
    dead: int
    size: str = "8BITMIME"
    script: dict[str, Step] = field(default_factory=dict)


CASES = {
    "a small SIZE": Case(1, 0, "SIZE 15000"),
    "at MAIL": Case(1, 0, script={"mail": [TOO_BIG]}),
    "at the dot": Case(1, 0, script={"dot": [TOO_BIG]}),
    "the summary too": Case(0, 1, script={"dot": TOO_BIG}),
    "a tiny SIZE": Case(0, 1, "SIZE 1000"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_s10_one_summarised_retry(tmp_path: Path, redis_server: RedisServer, case: Case) -> None:
    server = SmtpServer(extensions=("PIPELINING", case.size))
    server.script |= case.script
    with SmtpServerThread(server) as smtp:
        settings = DaemonProcess(tmp_path, redis_server.url, smtp.url, recipients="ann@example.org").variables
        publish(redis_server.url, "kinto-notify", event(*(change(f"r{number}") for number in range(80))))
        told = command("run", "--once", **settings)
        assert told.returncode == 0, told.stderr
        lines = [json.loads(line) for line in told.stdout.splitlines()]
        assert [line["event"] for line in lines].count("summarised") == 1
        assert len(smtp.mails) == case.mails
        for mail in smtp.mails:
            part = parse(mail.data).get_body(("plain",))
            assert part is not None
            assert "80 records created" in part.get_content()
            assert "these are the totals" in " ".join(part.get_content().split())
        listed = command("dead-letters", "list", "--json", **settings).stdout.splitlines()
        assert len(listed) == case.dead
        assert all("5.3.4" in json.loads(line)["reason"] for line in listed)
