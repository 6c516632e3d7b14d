"""`kinto-notify relay`: the relay outside Kinto's process, run as Kinto's user."""

import argparse
import logging
import signal
import threading
from pathlib import Path

from kinto_notify.errors import OutboxUnavailable, StoreUnavailable
from kinto_notify.outbox.drain import Drain
from kinto_notify.outbox.ini import read_ini
from kinto_notify.outbox.pump import Trouble

#: Files of other processes are looked at this often; an event waits half of it on average.
_POLL_SECONDS = 0.1


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    help_text = "move Kinto's outbox to Redis from outside Kinto"
    parser = commands.add_parser("relay", help=help_text, description=__doc__)
    parser.add_argument("--ini", type=Path, required=True, metavar="KINTO.ini", help="Kinto's configuration file")
    parser.add_argument("--once", action="store_true", help="exit when nothing waits any more")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Drain what the ini's listeners left in their outboxes: once, or until SIGTERM."""
    drains = [Drain(settings) for settings in read_ini(arguments.ini)]
    try:
        if arguments.once:
            total = 0
            while published := sum(drain.turn() for drain in drains):
                total += published
            print(f"{total} event(s) published")
            return 0
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _until(stop, drains)
        return 0
    finally:
        for drain in drains:
            drain.close()


def _until(stop: threading.Event, drains: list[Drain]) -> None:
    troubles = [Trouble(drain.depth) for drain in drains]
    while not stop.wait(max((trouble.pause() for trouble in troubles), default=0.0) or _POLL_SECONDS):
        for drain, trouble in zip(drains, troubles, strict=True):
            try:
                drain.turn()
                trouble.over()
            except StoreUnavailable as error:
                trouble.met(str(error))
            except OutboxUnavailable as error:
                trouble.met(f"PostgreSQL: {error}")
            except OSError as error:
                trouble.met(f"spool directory: {error}")
