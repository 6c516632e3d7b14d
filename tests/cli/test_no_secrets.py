"""X09: no password in any output, and no address or content in the log."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServer, SmtpServerThread, say

PASSWORD = "hunter2%2Fhunter2"
EVERYTHING = [
    ["run", "--once"],
    ["check"],
    ["check", "--send-to", "ann@example.org"],
    ["status"],
    ["health"],
    ["preview"],
    ["dead-letters", "list"],
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    class Locked(RedisServer):
        def ready(self) -> bool:
            # It answers a PING with NOAUTH.
            return "Ready to accept connections" in self.log.read_text()

    with Locked(tmp_path_factory.mktemp("locked"), ("--requirepass", "hunter2/hunter2")) as server:
        yield server


@pytest.fixture(scope="module")
def closed() -> Iterator[SmtpServerThread]:
    """A smarthost that repeats what it was told, as some do."""
    server = SmtpServer(users={"kinto": "hunter2/hunter2"})
    with SmtpServerThread(server) as thread:
        yield thread


def desks(locked: RedisServer, closed: SmtpServerThread) -> dict[str, Desk]:
    smtp = f"127.0.0.1:{closed.server.port}"
    store = f"127.0.0.1:{locked.port}"
    return {
        "right": Desk(f"redis://:{PASSWORD}@{store}/0", f"smtp://kinto:{PASSWORD}@{smtp}"),
        "wrong": Desk(f"redis://kinto:{PASSWORD}x@{store}/0", f"smtp://kinto:{PASSWORD}x@{smtp}"),
        "down": Desk(f"redis://:{PASSWORD}@127.0.0.1:1/0", f"smtp://kinto:{PASSWORD}@127.0.0.1:1"),
        "odd": Desk(f"redis://:{PASSWORD}@{store}/0?bogus={PASSWORD}", f"smtps://kinto:{PASSWORD}@{smtp}"),
        "malformed": Desk(f"redis://:hunter2/hunter2@{store}:x/0", "smtp://kinto:hunter2/hunter2@[::1"),
    }


@pytest.mark.parametrize("which", ["right", "wrong", "down", "odd", "malformed"])
def test_no_command_tells_a_password(locked: RedisServer, closed: SmtpServerThread, which: str) -> None:
    """At level DEBUG, where most is told."""
    desk = desks(locked, closed)[which]
    if which == "wrong":
        closed.server.script["auth"] = say("535 5.7.8 no: kinto hunter2/hunter2x aHVudGVyMi9odW50ZXIyeA==")
    try:
        codes = set()
        for arguments in EVERYTHING:
            done = desk(*arguments, log_level="debug", secret="hunter2-secret-hunter2", admin_token="hunter2-token")
            assert "hunter2" not in done.stdout + done.stderr, arguments
            assert "aHVudGVyMi" not in done.stdout + done.stderr, arguments
            codes.add(done.returncode)
    finally:
        closed.server.script.clear()
    expected = {"right": {0, 69}, "wrong": {0, 69}, "down": {0, 69}, "odd": {0, 69, 78}, "malformed": {0, 78}}
    assert codes <= expected[which]
    assert which == "right" or codes & {69, 78}


SECRET_CONTENT = "the-content-of-a-record"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_the_log_tells_no_content_and_hashes_addresses(desk: Desk, smtp: SmtpServerThread, level: str) -> None:
    smtp.server.script["rcpt"] = [
        "250 2.1.5 <ann@example.net> ok",
        "550 5.1.1 <ann@example.net>: Recipient address rejected: user ann@example.net unknown",
        "450 4.2.0 <Ann@Example.NET>: Greylisted",
        "421 4.7.0 <ann@example.net> is asked for too often",
    ]
    smtp.server.script["dot"] = "250 2.0.0 queued for ann@example.net"
    record = {"id": "r", "title": SECRET_CONTENT, "text": SECRET_CONTENT}
    desk.publish_raw(v="1", event=json.dumps({"id": "1", "data": {"changes": SECRET_CONTENT}}))
    desk.publish_raw(v="1", event=f"not JSON {SECRET_CONTENT}")
    outputs, errors = [], []
    for number in range(4):
        desk.publish(event(change("r", new=record), collection_id=f"c{number}"))
        done = desk("run", "--once", recipients="Ann <ann@example.net>", log_level=level, smtp_sessions="1")
        assert done.returncode == (69 if number == 3 else 0)
        outputs.append(done.stdout)
        errors.append(done.stderr)
    told = "".join(outputs)
    events = {json.loads(line)["event"] for line in told.splitlines()}
    assert {"sent", "refused", "deferred", "smarthost unavailable", "entry buried"} <= events
    assert SECRET_CONTENT not in told
    hashed = hashlib.sha256(b"ann@example.net").hexdigest()[:12]
    if level == "debug":
        assert "ann@example.net" in told
    else:
        assert "ann@" not in "".join([told, *errors]).lower()
        assert f"sha256:{hashed}" in told


def test_a_dry_run_hashes_addresses_too(desk: Desk) -> None:
    desk.publish(event(change("r", new={"id": "r", "title": SECRET_CONTENT})))
    done = desk("run", "--once", dry_run="true", recipients="ann@example.net")
    assert "would send" in done.stdout
    assert "ann@" not in done.stdout
    assert SECRET_CONTENT not in done.stdout


def test_a_bad_reload_tells_no_secret(desk: Desk, tmp_path: Path) -> None:
    """G03: a secret in a file that is unreadable as text."""
    path = tmp_path / "redis-url"
    path.write_bytes(b"redis://:hunter2@localhost/0\xff")
    path.chmod(0o600)
    desk.variables = {name: text for name, text in desk.variables.items() if name != "redis_url"}
    done = desk("status", redis_url_file=str(path))
    assert done.returncode == 78
    assert "hunter2" not in done.stderr
    assert done.stderr == f"kinto-notify: KINTO_NOTIFY_REDIS_URL_FILE: {path} is not UTF-8 text\n"
