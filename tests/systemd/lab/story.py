"""What is tried in the lab, one stage after another, each on what the one before left.

Runs inside as a unit's command. Out: /run/lab/report.json, with each stage's name and what went wrong ("" if nothing).
"""

import base64
import json
import re
import subprocess
import time
import traceback
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis

LAB = Path("/run/lab")
ETC = Path("/etc/kinto-notify")
SECRETS = ("smtp-s3cret", "redis-s3cret", "links-s3cret-0123", "admin-s3cret-0123")
T = TypeVar("T")


def until(condition: Callable[[], T], what: str, limit: float = 90.0) -> T:
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {limit:.0f} s in vain: {what}"
        time.sleep(0.05)
    return found


def sh(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def systemctl(*arguments: str) -> None:
    ran = sh("systemctl", *arguments)
    assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)


def state(unit: str = "kinto-notify") -> dict[str, str]:
    wanted = "ActiveState,SubState,Result,MainPID,ExecMainStatus,ExecMainCode,NRestarts,StatusText,User"
    lines = sh("systemctl", "show", unit, f"--property={wanted}").stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def journal(unit: str = "kinto-notify") -> list[dict[str, Any]]:
    found = []
    for line in sh("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append({"event": line})
    return [one for one in found if isinstance(one, dict)]


def told(event: str, unit: str = "kinto-notify") -> int:
    return sum(one.get("event") == event for one in journal(unit))


def write(bucket: str) -> None:
    """Make a bucket in Kinto, over HTTP."""
    headers = {"Authorization": "Basic " + base64.b64encode(b"demo:demo").decode()}
    request = urllib.request.Request(f"http://127.0.0.1:8888/v1/buckets/{bucket}", method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201


def kinto_serves() -> bool:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8888/v1/__lbheartbeat__", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def mails(*words: str) -> list[dict[str, str]]:
    """The mails so far whose text holds all the words."""
    path = LAB / "mails"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [mail for mail in found if all(word in mail["text"] for word in words)]


def drop_in(name: str, text: str, unit: str = "kinto-notify.service") -> None:
    """Put a drop-in beside the unit, or take it away."""
    path = Path(f"/etc/systemd/system/{unit}.d/{name}.conf")
    if text:
        path.write_text(text)
    else:
        path.unlink()
    systemctl("daemon-reload")


def store() -> "redis.Redis":
    return redis.Redis.from_url("redis://:redis-s3cret@127.0.0.1:6379/0")


# The stages.


def ready_before_redis_and_the_relay_exist() -> None:
    """The README's commands as written (but those that install): `enable --now` returns once READY has come."""
    ran = sh("bash", "-euc", f"cd {LAB}; " + (LAB / "readme-daemon.sh").read_text())
    assert ran.returncode == 0, ran.stderr
    now = state()
    assert (now["ActiveState"], now["SubState"], now["StatusText"]) == ("active", "running", "serving"), now
    until(lambda: told("redis unavailable"), "the daemon says that Redis is away")
    assert state()["NRestarts"] == "0"


def hardening_does_not_break_sending() -> None:
    for unit in ("sink", "redis-server", "kinto-notify-relay", "kinto"):
        systemctl("start", unit)
    until(kinto_serves, "Kinto")
    write("first")
    (mail,) = until(lambda: mails("/buckets/first"), "a mail")
    assert (mail["recipient"], mail["user"]) == ("anna@example.org", "kinto")
    status = Path(f"/proc/{state()['MainPID']}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] not in ("0", "990"), "its own passing user"
    assert (fields["NoNewPrivs"], fields["Seccomp"], fields["CapBnd"]) == ("1", "2", "0000000000000000")
    assert state("kinto-notify-relay")["ActiveState"] == "active"


def credentials_arrive_and_are_nowhere_else() -> None:
    directory = Path("/run/credentials/kinto-notify.service")
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["admin-token", "redis-url", "secret", "smtp-password"]
    pid = state()["MainPID"]
    for place in ("environ", "cmdline"):
        text = Path(f"/proc/{pid}/{place}").read_bytes()
        assert not [one for one in SECRETS if one.encode() in text], place
    # The operator's own commands find them where they were written.
    given = f"set -a; . {ETC}/kinto-notify.env; export CREDENTIALS_DIRECTORY={ETC}; set +a"
    ran = sh("bash", "-euc", f"{given}; /opt/kinto-notify/bin/kinto-notify check")
    assert (ran.returncode, len(re.findall(r"(?m)^ok    ", ran.stdout))) == (0, 3), (ran.stdout, ran.stderr)
    log = json.dumps(journal())
    assert not [one for one in SECRETS if one in log]


def a_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad_one() -> None:
    pid, table = state()["MainPID"], ETC / "subscriptions.toml"
    good = table.read_text()
    table.write_text("[[subscription]\n")
    systemctl("reload", "kinto-notify")
    until(lambda: told("reload refused, the old configuration stays"), "the refusal")
    until(lambda: state()["StatusText"] == "serving", "READY again")
    write("second")
    until(lambda: mails("/buckets/second"), "a mail under the old file")
    table.write_text(good.replace("anna@", "ben@"))
    systemctl("reload", "kinto-notify")
    until(lambda: told("reloaded"), "the new file")
    write("third")
    (mail,) = until(lambda: mails("/buckets/third"), "a mail under the new file")
    assert mail["recipient"] == "ben@example.org"
    assert (state()["MainPID"], state()["ActiveState"]) == (pid, "active")


def a_killed_daemon_is_started_again() -> None:
    before = state()
    systemctl("kill", "--signal=KILL", "kinto-notify")
    until(lambda: state()["NRestarts"] == "1" and state()["ActiveState"] == "active", "a new one")
    assert state()["MainPID"] != before["MainPID"]
    write("fourth")
    until(lambda: mails("/buckets/fourth"), "a mail from the new one")


def the_watchdog_ends_a_daemon_that_hangs() -> None:
    drop_in("watchdog", "[Service]\nWatchdogSec=5s\n")
    systemctl("restart", "kinto-notify")
    pid, count = state()["MainPID"], int(state()["NRestarts"])
    sh("kill", "-STOP", pid)
    until(lambda: int(state()["NRestarts"]) > count and state()["ActiveState"] == "active", "a new one")
    assert state()["MainPID"] != pid
    # systemd's own words on the unit stand in the same journal.
    assert [one for one in journal() if "Watchdog timeout" in one["event"]]
    write("fifth")
    until(lambda: mails("/buckets/fifth"), "a mail from the new one")
    drop_in("watchdog", "")


def a_stop_drains_for_as_long_as_the_drain_may_take() -> None:
    """Longer than TimeoutStopSec: the daemon has asked for the time (D13)."""
    drop_in("drain", "[Service]\nTimeoutStopSec=1s\nEnvironment=KINTO_NOTIFY_DRAIN_TIMEOUT=5m\n")
    systemctl("restart", "kinto-notify")
    (LAB / "hold").touch()
    write("sixth")
    until((LAB / "held").exists, "a mail in hand")
    drained = told("stopped")
    systemctl("stop", "--no-block", "kinto-notify")
    until(lambda: state()["SubState"] == "stop-sigterm", "the stop")
    over = time.monotonic() + 3
    until(lambda: time.monotonic() > over, "three times TimeoutStopSec")
    assert state()["ActiveState"] == "deactivating", state()
    (LAB / "hold").unlink()
    until(lambda: state()["ActiveState"] != "deactivating", "the end")
    now = state()
    assert (now["ActiveState"], now["Result"], now["ExecMainStatus"]) == ("inactive", "success", "0"), now
    assert told("stopped") == drained + 1
    assert [one for one in journal() if one["event"] == "stopped"][-1]["drained"] is True
    assert len(mails("/buckets/sixth")) == 1
    with store() as client:
        assert client.zcard("{kinto-notify}:deliveries") == 0
    drop_in("drain", "")


def exit_78_stays_failed() -> None:
    drop_in("typo", "[Service]\nEnvironment=KINTO_NOTIFY_SMPT_URL=smtp://127.0.0.1\n")
    assert sh("systemctl", "start", "kinto-notify").returncode != 0
    now = state()
    assert (now["ActiveState"], now["SubState"], now["Result"]) == ("failed", "failed", "exit-code"), now
    assert (now["ExecMainStatus"], now["NRestarts"]) == ("78", "0"), now
    assert any("did you mean KINTO_NOTIFY_SMTP_URL?" in one["event"] for one in journal())
    assert not any("Traceback" in one["event"] for one in journal())
    drop_in("typo", "")
    systemctl("reset-failed", "kinto-notify")


def several_daemons_share_the_work_and_stop_as_one() -> None:
    systemctl("disable", "kinto-notify")
    ran = sh("bash", "-euc", f"cd {LAB}; " + (LAB / "readme-several.sh").read_text())
    assert ran.returncode == 0, ran.stderr
    units = ("kinto-notify@1", "kinto-notify@2")
    assert [state(unit)["ActiveState"] for unit in units] == ["active", "active"]
    host = sh("uname", "-n").stdout.strip()
    with store() as client:

        def names() -> set[str]:
            found = client.xinfo_consumers("{kinto-notify}:events", "kinto-notify")
            return {one["name"].decode() for one in found}

        until(lambda: names() >= {f"{host}-1", f"{host}-2"}, "both consumers")
    for number in range(6):
        write(f"many-{number}")
    until(lambda: len(mails("/buckets/many-")) >= 1 and all(mails(f"/buckets/many-{n}") for n in range(6)), "mails")
    systemctl("stop", "kinto-notify.target")
    for unit in units:
        now = state(unit)
        assert (now["ActiveState"], now["Result"], now["ExecMainStatus"]) == ("inactive", "success", "0"), now
        assert told("stopped", unit) == 1


def the_relay_stops_at_once_and_leaves_nothing_behind() -> None:
    systemctl("stop", "kinto-notify-relay")
    now = state("kinto-notify-relay")
    assert (now["ActiveState"], now["Result"], now["NRestarts"]) == ("inactive", "success", "0"), now
    write("seventh")
    ran = sh("/opt/kinto-notify/bin/kinto-notify", "relay", "--ini", "/etc/kinto/kinto.ini", "--once")
    assert ran.stdout == "1 event(s) published\n", (ran.stdout, ran.stderr)


STAGES = (
    ready_before_redis_and_the_relay_exist,
    hardening_does_not_break_sending,
    credentials_arrive_and_are_nowhere_else,
    a_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad_one,
    a_killed_daemon_is_started_again,
    the_watchdog_ends_a_daemon_that_hangs,
    a_stop_drains_for_as_long_as_the_drain_may_take,
    exit_78_stays_failed,
    several_daemons_share_the_work_and_stop_as_one,
    the_relay_stops_at_once_and_leaves_nothing_behind,
)


def tell() -> None:
    report: dict[str, str] = {}
    for stage in STAGES:
        began = time.monotonic()
        try:
            stage()
            report[stage.__name__] = ""
        except BaseException:
            report[stage.__name__] = traceback.format_exc() + "\n".join(map(str, journal()[-15:]))
        print(f"{stage.__name__}: {time.monotonic() - began:.1f} s {'FAILED' if report[stage.__name__] else 'ok'}")
        (LAB / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    tell()
