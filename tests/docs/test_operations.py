"""Forgetting: each command of docs/operations.md as it is written, and what is left afterwards."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import PROGRAM, clean_environment
from support.desk import Desk
from support.documents import section
from support.events import change, event
from support.smtp_server import SmtpServerThread
from support.waiting import until

#: Where there is no redis-cli: as much of it as the page uses.
REDIS_CLI = f"""#!{sys.executable}
import os, sys, redis
client = redis.Redis.from_url(os.environ["SERVER"])
if sys.argv[1:3] == ["--scan", "--pattern"]:
    print("\\n".join(key.decode() for key in client.scan_iter(sys.argv[3])))
else:
    print(client.execute_command(*sys.argv[1:]))
"""


def shell_blocks(heading: str) -> list[str]:
    parts = section("docs/operations.md", heading).split("```sh\n")[1:]
    return [part.partition("```")[0] for part in parts]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as made:
        yield made


@pytest.fixture
def smtp() -> Iterator[SmtpServerThread]:
    with SmtpServerThread() as made:
        yield made


@pytest.fixture
def desk(server: RedisServer, smtp: SmtpServerThread, tmp_path: Path) -> Desk:
    file = tmp_path / "subscriptions.toml"
    file.write_text('[[subscription]]\nname = "articles"\nrecipients = ["ann@example.org", "ben@example.org"]\n')
    made = Desk(server.url, smtp.url, namespace="kinto-notify", recipients="", subscriptions=str(file))
    made.namespace = "kinto-notify"
    return made


def run(text: str, desk: Desk, tmp_path: Path) -> str:
    """Run a block of the page in a shell of the operator's."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    if shutil.which("redis-cli") is None:
        (tools / "redis-cli").write_text(REDIS_CLI)
        (tools / "redis-cli").chmod(0o755)
    else:
        # The page's own talks to the default port.
        text = text.replace("redis-cli ", f"redis-cli -u {desk.redis_url} ")
    environment = clean_environment(**desk.variables)
    environment |= {"PATH": f"{tools}:{Path(PROGRAM).parent}:{os.environ['PATH']}", "SERVER": desk.redis_url}
    ran = subprocess.run(["bash", "-euc", text], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def stored(url: str) -> str:
    """All that Redis holds, by the words of its keys and values."""
    words: list[bytes] = []
    with redis.Redis.from_url(url) as client:
        for key in client.keys("*"):
            kind = client.type(key).decode()
            words.append(key)
            if kind == "hash":
                words += [one for pair in client.hgetall(key).items() for one in pair]
            elif kind == "list":
                words += client.lrange(key, 0, -1)
            elif kind == "zset":
                words += client.zrange(key, 0, -1)
            elif kind == "stream":
                words += [value for _, fields in client.xrange(key) for value in fields.values()]
    return b"\n".join(words).decode("utf-8", "replace")


def appended(directory: Path) -> bytes:
    """What stands in the append-only files."""
    return b"".join(path.read_bytes() for path in (directory / "appendonlydir").iterdir())


def rewritten(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 60)


def test_forgetting_a_person(desk: Desk, server: RedisServer, smtp: SmtpServerThread, tmp_path: Path) -> None:
    """Open digest, mail that waits, dead letter: each for both."""
    for reply in ("550 5.7.1 no", "451 4.3.0 later"):
        smtp.server.script["rcpt"] = reply
        desk.publish(event(change("r1"), collection_id=reply[:3]))
        desk("run", "--once")
    desk("run", "--once", digest_wait="1h")
    desk.publish(event(change("r2"), collection_id="open"))
    desk("run", "--once", digest_wait="1h")
    before = stored(desk.redis_url)
    assert before.count("ann@example.org") >= 3
    assert b"ann@example.org" in appended(tmp_path)
    (block,) = shell_blocks("Forgetting a person")
    told = run(block, desk, tmp_path)
    assert told.startswith("ann@example.org: 1 waiting mails and 1 dead letters removed, taken out of 1 digests\n")
    after = stored(desk.redis_url)
    assert "ann@example.org" not in after
    assert after.count("ben@example.org") >= 3
    rewritten(desk.redis_url)
    assert b"ann@example.org" not in appended(tmp_path)


def test_forgetting_a_record_in_redis(desk: Desk, smtp: SmtpServerThread, tmp_path: Path) -> None:
    *_, flush, letters = shell_blocks("Forgetting a record")
    smtp.server.script["rcpt"] = "550 5.7.1 no"
    desk.publish(event(change("hello", new={"id": "hello", "title": "not to be seen"})))
    desk("run", "--once")
    desk.publish(event(change("hello", new={"id": "hello", "title": "not to be seen"}), collection_id="open"))
    desk("run", "--once", digest_wait="1h")
    assert "not to be seen" in stored(desk.redis_url)
    # Sending what is gathered needs a daemon; throwing it away does not.
    assert "1 digest" in run(flush.splitlines()[0], desk, tmp_path)
    run(flush.splitlines()[1], desk, tmp_path)
    run(letters, desk, tmp_path)
    assert "not to be seen" not in stored(desk.redis_url)
    assert "hello" not in stored(desk.redis_url)


def test_forgetting_a_record_in_the_spool(desk: Desk, server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "kinto").mkdir()
    kinto = KintoServer(tmp_path / "kinto", server.url)
    block = shell_blocks("Forgetting a record")[0]
    assert "/var/lib/kinto-notify/spool/" in block
    with kinto:
        kinto.request("PUT", "/buckets/blog", b'{"data": {"title": "not to be seen"}}')
        until(lambda: any(b"not to be seen" in path.read_bytes() for path in kinto.spool.iterdir()))
    with kinto:
        kinto.request("GET", "/")
        until(lambda: list(kinto.spool.glob("*.drained")), 60)
        run(block.replace("/var/lib/kinto-notify/spool", str(kinto.spool)), desk, tmp_path)
        assert not any(b"not to be seen" in path.read_bytes() for path in kinto.spool.iterdir())
        # It goes on.
        assert kinto.request("PUT", "/buckets/blog2")[0] == 201
        with redis.Redis.from_url(server.url) as client:
            until(lambda: client.xlen("{kinto-notify}:events") == 2, 60)


def test_forgetting_everything(desk: Desk, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    desk.publish(event(change("r1")))
    desk("run", "--once", digest_wait="1h")
    with redis.Redis.from_url(desk.redis_url) as client:
        client.set("of another program", 1)
        (block,) = shell_blocks("Forgetting everything")
        run(block.replace("/var/lib/kinto-notify/spool", str(spool)), desk, tmp_path)
        assert client.keys("*") == [b"of another program"]
    assert not spool.exists()


def test_before_a_step_back_nothing_waits(desk: Desk, smtp: SmtpServerThread, tmp_path: Path) -> None:
    desk.publish(event(change("r1")))
    desk("run", "--once", digest_wait="1h")
    assert smtp.mails == []
    *_, flush = shell_blocks("Upgrade")
    run(flush, desk, tmp_path)
    desk("run", "--once")
    assert len(smtp.mails) == 2
