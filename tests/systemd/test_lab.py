"""The units on a real systemd, booted as PID 1 in private namespaces (root only); `lab/` holds what runs inside."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from support.documents import ROOT, blocks

HERE = Path(__file__).parent / "lab"
#: The whole story takes about half a minute. boot.sh gives up after five, and cleans up after itself.
LIMIT_S = 400


def obstacle() -> str:
    """Say in a line why the lab cannot be booted here; nothing if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not any(os.access(path, os.X_OK) for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")):
        return "needs systemd"
    for tool in ("unshare", "setpriv", "systemctl", "journalctl"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    groups = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
    if not groups or not os.access(groups[0], os.W_OK):
        return "needs a cgroup2 tree that it may write to"
    tried = subprocess.run(
        ["unshare", "--fork", "--pid", "--mount", "--net", "--cgroup", "sh", "-euc", OVERLAY],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return f"needs namespaces and overlays: {tried.stderr.strip()}" if tried.returncode else ""


OVERLAY = """
mount -t tmpfs lab /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay lab -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc lab /mnt/root/proc
"""


def mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def readme(word: str) -> str:
    """Return a shell block of the README's set-up, without the lines that install: the lab has no network."""
    shown = [one.text for one in blocks("sh") if one.page == "README.md" and "systemctl" in one.text]
    (block,) = [text for text in shown if word in text]
    return "\n".join(line for line in block.splitlines() if "venv" not in line and "pip" not in line)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Boot the lab, wait for the end of its story; nothing of it may be left."""
    if reason := obstacle():
        pytest.skip(f"the systemd lab: {reason}")
    share = tmp_path_factory.mktemp("lab")
    shutil.copytree(HERE, share, dirs_exist_ok=True)
    shutil.copytree(ROOT / "tests" / "support", share / "tests" / "support")
    (share / "readme-daemon.sh").write_text(readme("enable --now kinto-notify\n"))
    (share / "readme-several.sh").write_text(readme("kinto-notify@1"))
    share.chmod(0o755)
    before = mounts()
    command = ["bash", str(HERE / "boot.sh"), str(share), sys.base_prefix, sysconfig.get_path("purelib"), str(ROOT)]
    booted = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    told = share / "report.json"
    logs = [share / name for name in ("prepare.log", "story.log")]
    log = booted.stderr + "".join(path.read_text() if path.exists() else f"no {path.name}\n" for path in logs)
    assert told.exists(), f"the lab told nothing (exit code {booted.returncode}): {log}"
    assert booted.returncode == 0, log
    assert mounts() == before
    print(log)
    return json.loads(told.read_text())


@pytest.fixture
def stage(report: dict[str, str]) -> Callable[[str], None]:
    def look(name: str) -> None:
        assert name in report, f"the story ended before this stage: {report}"
        assert report[name] == "", report[name]

    return look


STAGES = [
    "ready_before_redis_and_the_relay_exist",
    "hardening_does_not_break_sending",
    "credentials_arrive_and_are_nowhere_else",
    "a_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad_one",
    "a_killed_daemon_is_started_again",
    "the_watchdog_ends_a_daemon_that_hangs",
    "a_stop_drains_for_as_long_as_the_drain_may_take",
    "exit_78_stays_failed",
    "several_daemons_share_the_work_and_stop_as_one",
    "the_relay_stops_at_once_and_leaves_nothing_behind",
]


@pytest.mark.parametrize("name", STAGES)
def test_on_a_real_systemd(name: str, stage: Callable[[str], None]) -> None:
    stage(name)


def test_no_stage_is_forgotten() -> None:
    told = (HERE / "story.py").read_text().partition("STAGES = (")[2].partition(")")[0]
    assert [word.strip() for word in told.split(",") if word.strip()] == STAGES
