"""The installed `kinto-notify demo`, as a newcomer runs it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kinto_notify.demo import story
from support.waiting import until

COMMAND = [str(Path(sys.executable).with_name("kinto-notify")), "demo"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the children, which only there die with us")


class Demo:
    """A running demo whose terminal is a file."""

    def __init__(self, directory: Path) -> None:
        self.out = directory / "out"
        self.work = directory / "tmp"
        self.work.mkdir()
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                COMMAND, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(self.work)}
            )

    def text(self) -> str:
        return self.out.read_text(errors="replace")

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows that."""
        found = until(lambda: re.search(pattern, self.text()) or (self.process.poll() is not None and "ended"), 90)
        assert isinstance(found, re.Match), f"ended without {pattern!r}:\n{self.text()}"
        return found

    def children(self) -> set[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in found.split()}


@contextmanager
def running(directory: Path) -> Iterator[Demo]:
    demo = Demo(directory)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()


def runs(pid: int) -> bool:
    """Tell whether that process is alive (a zombie is not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def once(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--once"]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=150, check=False
    )


def test_once_prints_the_mails_and_ends_well(tmp_path: Path) -> None:
    """Settings of another daemon in the environment don't matter; nothing is left behind."""
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "KINTO_NOTIFY_SENDER": "not an address",
        "KINTO_READONLY": "true",
    }
    done = subprocess.run(
        [*COMMAND, "--once"], capture_output=True, text=True, env=environment, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert story.faults([re.sub(r"(?m)^ +│", "", done.stdout)]) == ()
    assert "status: draft → published" in done.stdout
    assert "Lucía Ferrer" in done.stdout
    assert re.search(r"ok {2}25 changes, \d mails, each change reported exactly once", done.stdout)
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@linux
def test_a_person_writes_and_the_mail_arrives_until_ctrl_c(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        page = demo.says(r"inbox +(http://\S+)")[1]
        demo.says("Ctrl-C stops")
        curl = demo.says(r"(?s)(curl .*/records)\n")[1]
        assert subprocess.run(curl, shell=True, capture_output=True, check=True).stdout
        demo.says("mail .*Hello")
        assert "record &quot;Hello&quot; created" in fetch(page)
        children = demo.children()
        assert len(children) == 3
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0, demo.text()
        assert "Traceback" not in demo.text()
    assert not any(map(runs, children))
    assert list(demo.work.iterdir()) == []


@linux
def test_killed_it_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        demo.says("daemon ")
        children = demo.children()
        assert len(children) == 3
        demo.process.kill()
        until(lambda: not any(map(runs, children)), 60)


@linux
def test_a_server_that_ends_ends_the_demo_with_its_log(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        demo.says("Ctrl-C stops")
        port = demo.says(r"redis +127\.0\.0\.1:(\d+)")[1]
        (redis,) = (pid for pid in demo.children() if port in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(redis, signal.SIGKILL)
        assert demo.process.wait(60) == 69
    assert "kinto-notify: redis ended by itself (exit code -9)" in demo.text()
    assert "the end of the log of daemon:" in demo.text()


def test_a_server_that_does_not_start_is_named(tmp_path: Path) -> None:
    done = once(TMPDIR=str(tmp_path), KINTO_NOTIFY_REDIS_SERVER="/bin/false")
    assert done.returncode == 69
    assert done.stderr.startswith("kinto-notify: redis did not start on 127.0.0.1:")
    assert list(tmp_path.iterdir()) == []
