"""The door itself: help, wrong command lines, closed pipes, bugs; exit codes as in the contract (6.6)."""

import os
import re
import subprocess
import sys

import pytest

from support.daemon import PROGRAM, clean_environment, command
from support.desk import Desk

COMMANDS = [
    "run",
    "check",
    "demo",
    "relay",
    "replay",
    "init-db",
    "status",
    "health",
    "pause",
    "resume",
    "flush",
    "explain",
    "preview",
    "test-hooks",
    "dead-letters",
    "subscriptions",
    "recipients",
    "schema",
    "unit",
]
ACTS = ["list", "show", "retry", "drop"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_needs_no_settings(name: str) -> None:
    done = command(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: kinto-notify {name} ")
    assert "-h, --help" in done.stdout


def test_help_lists_every_command_with_a_sentence() -> None:
    done = command("--help")
    assert done.returncode == 0
    listed = re.findall(r"(?m)^    ([a-z-]+)\s+\S.{10}", done.stdout.partition("COMMAND\n")[2])
    assert listed == COMMANDS


def test_version_names_what_a_report_needs() -> None:
    done = command("--version")
    assert done.returncode == 0
    for part in ("kinto-notify 0.", "Python 3.", "redis ", "aiosmtplib ", "pydantic ", "kinto "):
        assert part in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["serve"], "invalid choice: 'serve'"),
        (["--colour"], "required: COMMAND"),
        (["status", "--xml"], "unrecognized arguments: --xml"),
        (["run", "twice"], "unrecognized arguments: twice"),
        (["relay"], "required: --ini"),
        (["replay", "--ini", "x"], "required: --since"),
        (["init-db"], "required: --ini"),
        (["dead-letters"], "required: ACT"),
        (["dead-letters", "eat"], "invalid choice: 'eat'"),
        (["dead-letters", "show"], "required: id"),
        (["dead-letters", "list", "--limit", "x"], "'x' is not a whole number from 1 on"),
        (["dead-letters", "list", "--limit", "0"], "'0' is not a whole number from 1 on"),
        (["preview", "--html", "--eml"], "not allowed with"),
    ],
)
def test_a_wrong_command_line_is_told_in_two_lines(arguments: list[str], told: str) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    first, second = done.stderr.splitlines()
    assert told in first
    assert second.startswith("Try 'kinto-notify")
    assert second.endswith("--help'.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dead-letters", "retry"], "dead-letters retry: name some ids, or a filter, or --all"),
        (["dead-letters", "drop", "--all", "1"], "dead-letters drop: name some ids, or a filter, or --all"),
        (["check", "--offline", "--send-to", "a@example.org"], "check: --send-to needs the smarthost; leave --offline"),
        (["check", "--send-to", "nobody"], "check: --send-to: 'nobody'"),
        (["unit", "kinto-notfy.service"], "there is no unit 'kinto-notfy.service'"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_in_one_line(nowhere: Desk, arguments: list[str], told: str) -> None:
    """Before anything is connected to: at this desk that would be exit code 69."""
    done = nowhere(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kinto-notify: {told}")


@pytest.mark.parametrize("arguments", [["--help"], ["schema"], ["unit"], ["preview"], ["preview", "--eml"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_fault(arguments: list[str], unbuffered: str) -> None:
    """`kinto-notify schema | head -1`: Python writes at once or at its exit, and must complain at neither."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        environment = clean_environment(sender="kinto@example.org") | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            [PROGRAM, *arguments], stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


BUGGY = """
import sys, types
from kinto_notify import cli
def run(arguments):
    raise LookupError("no such thing")
module = types.ModuleType("kinto_notify.cli.buggy")
module.add_parser = lambda commands: commands.add_parser("buggy").set_defaults(run=run)
sys.modules[module.__name__] = module
cli.COMMANDS = ("buggy",)
sys.exit(cli.main(["buggy"]))
"""


@pytest.mark.parametrize("level", ["", "info"])
def test_a_bug_shows_no_traceback(level: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUGGY],
        env=clean_environment(log_level=level),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "kinto-notify: unexpected LookupError: no such thing\n"
        "kinto-notify: this is a bug; KINTO_NOTIFY_LOG_LEVEL=debug shows where\n"
    )


def test_a_bug_shows_its_traceback_to_who_asks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUGGY],
        env=clean_environment(log_level="debug"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.rstrip().endswith("LookupError: no such thing")


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kinto_notify", "unit"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, command("unit").stdout)
