"""The units, as systemd itself reads them; and `kinto-notify unit`, which prints them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kinto_notify.cli import main
from kinto_notify.drain import DRAIN_MARGIN_S
from kinto_notify.intake import FATAL_TIMES, WORN_DELIVERIES
from kinto_notify.settings import load_settings

UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = ["kinto-notify.service", "kinto-notify@.service", "kinto-notify-relay.service"]
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


@pytest.fixture
def installed(tmp_path):
    """The units with a command that exists here: systemd looks for it."""
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for unit in tmp_path.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/kinto-notify/bin/kinto-notify", sys.executable))
    # A template is looked at through an instance.
    (tmp_path / "kinto-notify@1.service").write_text((tmp_path / "kinto-notify@.service").read_text())
    return tmp_path


def analyze(*arguments, cwd):
    return subprocess.run(["systemd-analyze", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)


@needs_systemd
@pytest.mark.parametrize("name", [*SERVICES, "kinto-notify.target"])
def test_systemd_finds_nothing_to_say(name, installed):
    ran = analyze("verify", "--man=no", f"./{name.replace('@.', '@1.')}", cwd=installed)
    # It answers 0 to unknown keys as well; what it thinks stands in its standard error.
    assert (ran.stderr, ran.returncode) == ("", 0)


@needs_systemd
def test_the_check_above_can_fail(installed):
    unit = installed / "kinto-notify.service"
    unit.write_text(unit.read_text().replace("[Service]", "[Service]\nRestratSec=3"))
    assert "RestratSec" in analyze("verify", "--man=no", "./kinto-notify.service", cwd=installed).stderr


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_exposure_is_at_most_1_2(name, installed):
    asked = ("security", "--no-pager", "--offline=yes", "--threshold=12", f"./{name.replace('@.', '@1.')}")
    ran = analyze(*asked, cwd=installed)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_must_say(name):
    text = (UNITS / name).read_text()
    for line in ("RestartPreventExitStatus=64 78", "Restart=on-failure", "NoNewPrivileges=yes", "UMask=0077"):
        assert f"\n{line}\n" in text
    command = re.search(r"^ExecStart=/opt/kinto-notify/bin/kinto-notify (\w+)", text, re.MULTILINE)
    assert command[1] == ("relay" if "relay" in name else "run")


@pytest.mark.parametrize("name", SERVICES[:2])
def test_a_stop_waits_longer_than_the_drain(name):
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", (UNITS / name).read_text(), re.MULTILINE)
    drain = load_settings({"KINTO_NOTIFY_SENDER": "kinto@example.org"}).drain_timeout
    assert int(stop[1]) > drain / 1000 + DRAIN_MARGIN_S


@pytest.mark.parametrize("name", SERVICES[:2])
def test_d17_an_entry_that_ends_the_process_is_buried_before_systemd_gives_up(name):
    text = (UNITS / name).read_text()
    burst, interval, pause = (
        int(re.search(rf"^{key}=(\d+)s?$", text, re.MULTILINE)[1])
        for key in ("StartLimitBurst", "StartLimitIntervalSec", "RestartSec")
    )
    # Handed out five times among others, begun alone three times, and buried by the next one.
    assert burst > WORN_DELIVERIES + FATAL_TIMES + 1
    # What ends for another reason at each start still meets the limit.
    assert burst * pause < interval


@pytest.mark.parametrize("name", SERVICES)
def test_variables_in_the_units_are_settings(name):
    given = re.findall(r"^Environment=(KINTO_NOTIFY_\w+)=(\S+)$", (UNITS / name).read_text(), re.MULTILINE)
    filled = {key: value.replace("%H", "host").replace("%i", "1") for key, value in given}
    settings = load_settings({"KINTO_NOTIFY_SENDER": "kinto@example.org", **filled})
    assert settings.name == ("host-1" if "@" in name else load_settings({"KINTO_NOTIFY_SENDER": "a@x.org"}).name)


def test_the_daemon_keeps_its_hands_off_the_spool_of_kintos_process():
    for name in SERVICES[:2]:
        assert not re.search(r"^StateDirectory=", (UNITS / name).read_text(), re.MULTILINE)


def test_the_command_lists_and_prints_every_file(capsys):
    assert main(["unit"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == sorted(str(path.relative_to(UNITS)) for path in UNITS.rglob("*") if path.is_file())
    for name in listed:
        assert main(["unit", name]) == 0
        assert capsys.readouterr().out == (UNITS / name).read_text()
    assert main(["unit", "kinto-notify-relay"]) == 0
    assert capsys.readouterr().out == (UNITS / "kinto-notify-relay.service").read_text()


def test_an_unknown_unit_is_a_wrong_command_line(capsys):
    assert main(["unit", "kinto-notifi.service"]) == 64
    assert capsys.readouterr().err == (
        "kinto-notify: there is no unit 'kinto-notifi.service'; did you mean kinto-notify.service?\n"
    )
