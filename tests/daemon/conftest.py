"""Servers of a test's own: they are stopped, hung and killed here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from support.inbox import machine_template
from support.smtp_server import SmtpServerThread


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def smtp() -> Iterator[SmtpServerThread]:
    with SmtpServerThread() as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Settings of a daemon whose mails a program can read: one subscription of everything to anna."""
    table = tmp_path / "subscriptions.toml"
    table.write_text(
        '[[subscription]]\nname = "all"\nrecipients = ["anna@example.org"]\ntemplate = "machine"\n'
        'digest = { wait = "0s", interval = "0s", max_listed = 1000 }\n'
    )
    return {"subscriptions": str(table), "templates": str(machine_template(tmp_path / "templates"))}
