"""Kinto's own environment has the base install: `relay` and `unit` work there, the others say what to install."""

import subprocess
import sys

import pytest

EXTRAS = ("aiosmtplib", "jinja2", "structlog", "prometheus_client", "aiohttp", "email_validator", "regex", "aiosmtpd")
WITHOUT_EXTRAS = """
import sys
for name in {extras!r}:
    sys.modules[name] = None
from kinto_notify.cli import main
sys.exit(main({arguments!r}))
"""


def base_install(*arguments: str) -> "subprocess.CompletedProcess[str]":
    code = WITHOUT_EXTRAS.format(extras=EXTRAS, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments", [("--help",), *((name, "--help") for name in ("relay", "replay", "init-db")), ("unit",), ("schema",)]
)
def test_what_kinto_needs_works(arguments: tuple[str, ...]) -> None:
    done = base_install(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    "arguments", [("run",), ("check",), ("status",), ("preview",), ("dead-letters", "list"), ("recipients", "--json")]
)
def test_the_others_say_what_to_install(arguments: tuple[str, ...]) -> None:
    done = base_install(*arguments)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'kinto-notify[daemon]'" in done.stderr
