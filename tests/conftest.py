"""For all rooms: every mail of ours that a test makes or receives passes the linter.

What runs in the background ignores Ctrl-C, and so would the servers and daemons that tests start.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from kinto_notify import wire
from support.mail_linter import faults_of_taken

signal.signal(signal.SIGINT, signal.default_int_handler)

#: Rooms whose tests take long: where several files run at once they begin first, so that none of them is left alone.
_LONG = ("hooks", "chaos", "deploy", "systemd", "daemon", "web", "annex")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the long ones first where several run at once; tests of a file stay together, and in their order."""
    if not hasattr(config, "workerinput"):
        return
    here = Path(__file__).parent
    order = {room: number for number, room in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path.relative_to(here).parts[0], len(order)))


@pytest.fixture(autouse=True)
def every_mail_is_good() -> Iterator[None]:
    """Lint what was mailed."""
    faults_of_taken()
    yield
    assert faults_of_taken() == []


@pytest.fixture(autouse=True)
def ids_of_today() -> Iterator[None]:
    """Ids never go back in time; a test that puts the clock forward must not leave the next ones in its future."""
    before = wire._id_ms
    yield
    wire._id_ms = before


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A configured log keeps the standard output of the test that configured it; Cliquet configures it too."""
    yield
    structlog.reset_defaults()
