"""`kinto-notify relay` empties spools from outside Kinto."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kinto_notify.demo.servers import KintoServer, RedisServer, free_port
from kinto_notify.errors import ConfigError
from kinto_notify.outbox.ini import read_ini
from support.stream import StreamReader

PREFIX = "kinto.event_listeners.notify"


def relay(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kinto_notify", "relay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_once_publishes_what_a_killed_kinto_left(
    tmp_path: Path, stream: StreamReader, redis_server: RedisServer
) -> None:
    kinto = KintoServer(tmp_path, f"redis://127.0.0.1:{free_port()}/0").start()
    for n in range(5):
        assert kinto.request("PUT", f"/buckets/b{n}")[0] == 201
    away = relay("--ini", str(kinto.ini), "--once")
    assert (away.returncode, away.stdout) == (0, "0 event(s) published\n"), "the file of a living Kinto is Kinto's"
    kinto.kill()
    away = relay("--ini", str(kinto.ini), "--once")
    assert away.returncode == 69
    assert "Traceback" not in away.stderr
    kinto.ini.write_text(kinto.ini.read_text().replace(f"{PREFIX}.url = ", f"{PREFIX}.url = {redis_server.url}\n#"))
    done = relay("--ini", str(kinto.ini), "--once")
    assert (done.returncode, done.stdout) == (0, "5 event(s) published\n")
    assert [c["id"] for _, c in stream.changes()] == [f"b{n}" for n in range(5)]


def test_an_external_relay_serves_a_living_kinto(
    tmp_path: Path, stream: StreamReader, redis_server: RedisServer
) -> None:
    kinto = KintoServer(tmp_path, redis_server.url, f"{PREFIX}.relay = external").start()
    assert kinto.request("PUT", "/buckets/a")[0] == 201
    command = [sys.executable, "-m", "kinto_notify", "relay", "--ini", str(kinto.ini)]
    service = subprocess.Popen(command)
    try:
        stream.wait(1)
        assert kinto.request("PUT", "/buckets/b")[0] == 201
        stream.wait(2)
        kinto.kill()
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
    finally:
        service.kill()
        service.wait()
        kinto.stop()
    assert [c["id"] for _, c in stream.changes()] == ["a", "b"]


@pytest.mark.parametrize("once", [(), ("--once",)])
def test_a_listener_whose_redis_hangs_holds_up_no_other(
    tmp_path: Path, stream: StreamReader, redis_server: RedisServer, once: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        kinto = KintoServer(
            tmp_path, hung,
            f"{PREFIX}.relay = external\nkinto.event_listeners.other.use = kinto_notify.listener\n"
            f"kinto.event_listeners.other.url = {redis_server.url}\nkinto.event_listeners.other.spool = {tmp_path}/2\n"
            "kinto.event_listeners.other.relay = external",
        )  # fmt: skip
        ini = kinto.ini.read_text()
        kinto.ini.write_text(ini.replace("kinto.event_listeners = notify", "kinto.event_listeners = notify other"))
        with kinto:
            assert kinto.request("PUT", "/buckets/a")[0] == 201
            service = subprocess.Popen([sys.executable, "-m", "kinto_notify", "relay", "--ini", str(kinto.ini), *once])
            try:
                link, _ = silent.accept()
                stream.wait(1)
                with link:
                    link.settimeout(10)
                    asked = link.recv(65536)
                    link.setblocking(False)
                    # A relay that had given the silent one up would have closed this connection.
                    with pytest.raises(BlockingIOError):
                        assert link.recv(65536), f"closed after {asked!r}"
            finally:
                service.kill()
                service.wait()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[app:other]\nuse = egg:kinto\n", "app:main"),
        ("[app:main]\nuse = egg:kinto\n", "names kinto_notify"),
        ("no ini at all", "no section headers"),
        ("[app:main]\nkinto.includes = kinto_notify\n", "notify.url: is missing"),
        (
            "[app:main]\ncliquet.event_listeners = first mine\ncliquet.event_listeners.first.actions = read\n"
            "cliquet.event_listeners.mine.use = kinto_notify.listener\n",
            "cliquet ignores mine",  # K22
        ),
    ],
)
def test_a_wrong_ini_is_told_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    ini = tmp_path / "kinto.ini"
    ini.write_text(text)
    ended = relay("--ini", str(ini), "--once")
    assert ended.returncode == 78
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_ini(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_ini(tmp_path / "none.ini")


def test_the_inis_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ini = tmp_path / "kinto.ini"
    ini.write_text(
        "[app:main]\nkinto.event_listeners = a kinto_notify.listener other\n"
        "kinto.event_listeners.a.use = kinto_notify.listener\nkinto.event_listeners.a.url = redis://a\n"
        "kinto.event_listeners.a.spool = %(here)s/spool\n"
        "kinto.event_listeners.listener.url = redis://b\nkinto.includes = kinto.plugins.history kinto_notify\n"
        "kinto.event_listeners.other.use = kinto_redis.listeners\nkinto.other = %(missing)s\n"
    )
    monkeypatch.setenv("KINTO_NOTIFY_URL", "redis://c")
    found = read_ini(ini)
    assert [settings.url for settings in found] == ["redis://a", "redis://b", "redis://c"]
    assert found[0].spool == tmp_path / "spool"
