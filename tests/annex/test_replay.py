"""`kinto-notify replay` publishes what the spools have kept, under the same event ids."""

import signal
import subprocess
from pathlib import Path

import pytest

from kinto_notify.cli.replay import parse_since
from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import command
from support.stream import StreamReader, eventually


def replay(kinto: KintoServer, *options: str) -> "subprocess.CompletedProcess[str]":
    return command("replay", "--ini", str(kinto.ini), "--since", "1h", *options)


def end(kinto: KintoServer) -> None:
    """End it the way that lets it finish what is in hand; a SIGTERM waitress does not hear."""
    assert kinto.process is not None
    kinto.process.send_signal(signal.SIGINT)
    kinto.process.wait(30)


def test_what_living_and_ended_kintos_have_kept(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    kinto = KintoServer(tmp_path, redis_server.url)
    kinto.start()
    assert kinto.request("PUT", "/buckets/a")[0] == 201
    end(kinto)
    kinto.start()
    for name in ("b", "c"):
        assert kinto.request("PUT", f"/buckets/{name}")[0] == 201
    events = [event["id"] for event in stream.wait(3)]
    # The mark comes after the stream's yes.
    eventually(lambda: replay(kinto, "--dry-run").stdout.startswith("3 event(s) would be"))
    stream.client.flushall()
    done = replay(kinto)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 event(s) published again, those since 20")
    assert [event["id"] for event in stream.events()] == events
    # Kinto goes on with the same file.
    assert kinto.request("PUT", "/buckets/d")[0] == 201
    stream.wait(4)
    end(kinto)
    assert {path.suffix for path in kinto.spool.iterdir()} == {".drained", ".done"}
    assert replay(kinto).stdout.startswith("4 event(s)")


def test_an_unreadable_spool_is_told_and_hides_no_other(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    kinto = KintoServer(tmp_path, redis_server.url)
    kinto.start()
    assert kinto.request("PUT", "/buckets/a")[0] == 201
    end(kinto)
    (kinto.spool / "kinto-notify@host-1-0.drained").write_bytes(b"no database" * 100)
    done = replay(kinto)
    assert (done.returncode, done.stdout.split()[0]) == (0, "1")
    assert "host-1-0.drained" in done.stderr


def test_times() -> None:
    assert parse_since("2026-01-02T03:04").isoformat() == "2026-01-02T03:04:00+00:00"
    assert parse_since("2026-01-02T03:04+02:00").isoformat() == "2026-01-02T01:04:00+00:00"
    assert parse_since("2026-01-02").isoformat() == "2026-01-02T00:00:00+00:00"


@pytest.mark.parametrize("text", ["yesterday", "2", "9999-01-01", "-2h"])
def test_a_time_that_is_none(tmp_path: Path, text: str) -> None:
    ended = command("replay", "--ini", str(tmp_path / "kinto.ini"), f"--since={text}")
    assert ended.returncode == 64
    assert "--since" in ended.stderr


def test_a_preview_of_what_was_written_lately_though_the_stream_is_empty(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader
) -> None:
    kinto = KintoServer(tmp_path, redis_server.url)
    kinto.start()
    assert kinto.request("PUT", "/buckets/old")[0] == 201
    end(kinto)
    kinto.start()
    for name in ("b", "c"):
        assert kinto.request("PUT", f"/buckets/{name}", b'{"data": {"title": "Title of %b"}}' % name.encode())[0] == 201
    stream.wait(3)
    eventually(lambda: replay(kinto, "--dry-run").stdout.startswith("3 event(s) would be"))
    stream.client.flushall()
    end(kinto)
    before = {path: path.read_bytes() for path in kinto.spool.iterdir()}
    settings = {"sender": "kinto@example.org", "recipients": "anna@example.org", "redis_url": redis_server.url}
    gone = command("preview", "--recent", "5", **settings)
    assert (gone.returncode, "--ini KINTO.ini finds what its outbox has kept" in gone.stderr) == (65, True)
    ini = ("--ini", str(kinto.ini))
    shown = command("preview", "--recent", "2", *ini, **settings)
    assert (shown.returncode, shown.stderr) == (0, "")
    # By bucket, each a mail of its own: the newest is shown.
    assert 'bucket "Title of c" created' in shown.stdout.partition("\n")[0]
    # Looking changes nothing.
    assert {path: path.read_bytes() for path in kinto.spool.iterdir()} == before
    assert not stream.client.keys("*")
    assert command("preview", *ini, **settings).returncode == 64
    assert command("preview", "--recent", "0", *ini, **settings).returncode == 64
    empty = tmp_path / "empty.ini"
    empty.write_text(kinto.ini.read_text().replace(str(kinto.spool), str(tmp_path / "nothing")))
    nothing = command("preview", "--recent", "1", "--ini", str(empty), **settings)
    assert (nothing.returncode, "has kept no event" in nothing.stderr) == (65, True)
