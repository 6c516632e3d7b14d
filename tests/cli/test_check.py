"""`check`: one line for each thing, whatever state it is in (G08)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer
from support.desk import Desk
from support.mail_linter import lint, parse
from support.smtp_server import SmtpServer, SmtpServerThread


def test_all_is_well(desk: Desk, smtp: SmtpServerThread) -> None:
    done = desk("check")
    assert (done.returncode, done.stderr) == (0, "")
    configuration, store, smarthost = done.stdout.splitlines()
    assert configuration == "ok    configuration: 1 subscriptions"
    assert store.startswith(("ok    Redis: Redis ", "ok    Redis: Valkey "))
    assert smarthost.startswith(f"ok    smarthost: 127.0.0.1:{smtp.server.port}: in clear, SIZE")
    assert smtp.mails == []


def test_g08_all_is_down(nowhere: Desk) -> None:
    done = nowhere("check")
    assert done.returncode == 69
    assert done.stderr == ""
    configuration, store, smarthost = done.stdout.splitlines()
    assert configuration.startswith("ok ")
    assert store.startswith("FAIL  Redis: ")
    assert smarthost.startswith("FAIL  smarthost: 127.0.0.1:")
    assert smarthost.endswith("at connect: connection refused")


def test_offline_connects_to_nothing(nowhere: Desk) -> None:
    done = nowhere("check", "--offline")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok    configuration: 1 subscriptions\n", "")


def test_every_problem_of_the_configuration_at_once(nowhere: Desk) -> None:
    done = nowhere("check", sender="nobody", digest_wait="soon", smpt_url="smtp://x", web_bind="here")
    assert (done.returncode, done.stdout) == (78, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    for line, name in zip(sorted(lines), ("DIGEST_WAIT", "SENDER", "SMPT_URL", "WEB_BIND"), strict=True):
        assert line.startswith(f"kinto-notify: KINTO_NOTIFY_{name}: ")
    assert "SMTP_URL" in done.stderr


def test_a_subscription_file_that_is_no_toml_is_told_with_its_line(nowhere: Desk, tmp_path: Path) -> None:
    path = tmp_path / "subscriptions.toml"
    path.write_text('[[subscription]]\nname = "a"\nrecipients = [\n')
    done = nowhere("check", "--offline", subscriptions=str(path))
    assert (done.returncode, done.stdout) == (78, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kinto-notify: KINTO_NOTIFY_SUBSCRIPTIONS: {path}")


def test_g06_a_template_that_cannot_be_read_is_told_before_it_is_needed(nowhere: Desk, tmp_path: Path) -> None:
    (tmp_path / "news.txt").write_text("{% if %}\n")
    done = nowhere("check", "--offline", templates=str(tmp_path))
    assert (done.returncode, done.stdout) == (78, "")
    assert "news.txt" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_subscribed_is_a_warning(nowhere: Desk) -> None:
    done = nowhere("check", "--offline", recipients="")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("warn  nothing is subscribed: ")


@pytest.fixture
def evicting(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that may throw events away, and that forgets at a restart."""
    options = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
    with RedisServer(tmp_path, options) as server:
        yield server


def test_r03_a_redis_that_would_lose_events(evicting: RedisServer, smtp: SmtpServerThread) -> None:
    done = Desk(evicting.url, smtp.url)("check")
    assert done.returncode == 78
    lines = done.stdout.splitlines()
    assert "warn  Redis: appendonly is off: a restart of Redis loses what was filed since its last snapshot" in lines
    assert "FAIL  Redis: maxmemory-policy is allkeys-lru: events may be evicted unread; set it to noeviction" in lines
    assert lines[-1].startswith("ok    smarthost: ")
    for arguments in (["run", "--once"], ["run"]):
        refused = Desk(evicting.url, smtp.url, web_bind="off")(*arguments)
        assert refused.returncode == 78
        assert "kinto-notify: Redis: maxmemory-policy is allkeys-lru" in refused.stderr


def test_r16_a_user_of_redis_with_too_few_rights(desk: Desk, redis_server: RedisServer, smtp: SmtpServerThread) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.acl_setuser("poor", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-expire"])
    done = desk("check", redis_url=redis_server.url.replace("redis://", "redis://poor:x@"))
    assert done.returncode == 78
    assert "FAIL  Redis: our user has no right to EXPIRE\n" in done.stdout
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.keys(f"{{{desk.namespace}}}:*") == []


def test_redis_behind_a_path(tmp_path: Path, smtp: SmtpServerThread) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, ("--unixsocket", str(path))):
        done = Desk(f"unix://{path}", smtp.url)("check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("redis://localhost/0?sockettimeout=1", "may not set 'sockettimeout'", id="unknown"),
        pytest.param("redis://localhost/0?ssl_nothing=1", "has an option that is not known", id="unknown TLS"),
        pytest.param(
            "redis://localhost/0?socket_timeout=0.5", "may not set 'socket_timeout'", id="R14 shorter than BLOCK"
        ),
        pytest.param("redis://localhost/0?retry_on_timeout=yes", "may not set 'retry_on_timeout'", id="hidden retries"),
        ("redis+cluster://localhost:1/2", "a cluster has one database"),
    ],
)
def test_a_redis_url_that_cannot_be_used(nowhere: Desk, url: str, told: str) -> None:
    done = nowhere("check", redis_url=url)
    assert "FAIL  KINTO_NOTIFY_REDIS_URL or _NAMESPACE: " in done.stdout
    assert told in done.stdout
    assert done.returncode == 78
    done = nowhere("status", redis_url=url)
    assert done.returncode == 78
    assert told in done.stderr


def test_r09_no_sentinel_answers(nowhere: Desk) -> None:
    done = nowhere("check", redis_url="redis+sentinel://kinto:hunter2@127.0.0.1:1/main/0")
    assert done.returncode == 69
    assert "FAIL  Redis: No master found for 'main'\n" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_send_to_delivers_one_good_mail(desk: Desk, smtp: SmtpServerThread) -> None:
    done = desk("check", "--send-to", "Ann <ann@example.net>", bounce_address="bounces@example.org")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "ok    sample mail to ann@example.net: 250 2.0.0 queued (at dot)"
    (mail,) = smtp.mails
    assert (mail.sender, mail.recipients) == ("bounces@example.org", ("ann@example.net",))
    assert lint(mail.data) == []
    assert str(parse(mail.data)["To"]) == "Ann <ann@example.net>"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("refuse-550@example.org", "550 5.1.1 as the address says (at RCPT)"),
        ("defer-451@example.org", "451 4.1.1 as the address says (at RCPT)"),
        ("dot-554@example.org", "554 5.3.0 as the address says (at dot)"),
    ],
)
def test_send_to_an_address_that_is_refused(desk: Desk, smtp: SmtpServerThread, address: str, told: str) -> None:
    done = desk("check", "--send-to", address)
    assert (done.returncode, done.stderr) == (69, "")
    assert done.stdout.splitlines()[-1] == f"FAIL  sample mail to {address}: {told}"
    assert smtp.mails == []


def test_s03_a_login_that_is_refused() -> None:
    with SmtpServerThread(SmtpServer(users={"kinto": "right"})) as smtp:
        done = Desk("redis://127.0.0.1:1/0", smtp.url, smtp_username="kinto", smtp_password="wrong")("check")
    assert done.returncode == 69
    assert "FAIL  smarthost: 127.0.0.1:" in done.stdout
    assert "at login: 535" in done.stdout


def test_g08_each_relay_has_a_line_of_its_own(desk: Desk, smtp: SmtpServerThread, free_url: str) -> None:
    done = desk("check", smtp_url=f"smtp://{free_url},{smtp.url},smtp://{free_url.rpartition(':')[0]}:1")
    assert done.returncode == 69
    first, second, third = [line for line in done.stdout.splitlines() if "smarthost" in line]
    assert first == f"FAIL  smarthost: {free_url}: at connect: connection refused"
    assert second.startswith(f"ok    smarthost: 127.0.0.1:{smtp.server.port}: in clear")
    assert third == "FAIL  smarthost: 127.0.0.1:1: at connect: connection refused"


def test_g08_all_is_down_and_no_secret_is_told(nowhere: Desk, free_url: str) -> None:
    done = nowhere(
        "check",
        redis_url=f"redis://daemon:hunter2@{free_url}/0",
        smtp_url=f"smtp://kinto:hunter2@{free_url},smtp://kinto:hunter2@{free_url}",
        secret="hunter2",
        admin_token="hunter2",
    )
    assert done.returncode == 69
    assert sum(line.startswith("FAIL  ") for line in done.stdout.splitlines()) == 3
    assert "hunter2" not in done.stdout + done.stderr
