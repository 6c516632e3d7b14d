"""`kinto-notify relay`: the relay outside Kinto's process, run as Kinto's user.

In: Kinto's ini. Out: what its listeners left in their outboxes is in the stream. Each listener has a thread of its own:
one whose Redis hangs holds up no other.
"""

import argparse
import logging
import signal
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

from kinto_notify.errors import OutboxUnavailable, StoreUnavailable
from kinto_notify.outbox.drain import Drain
from kinto_notify.outbox.ini import read_ini
from kinto_notify.outbox.pump import Trouble
from kinto_notify.outbox.storage import storage_outside

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
    drains = [Drain(one, storage_outside(one.database, one.backend)) for one in read_ini(arguments.ini)]
    if arguments.once:
        with ThreadPoolExecutor(len(drains)) as threads:
            emptied = [threads.submit(_empty, drain) for drain in drains]
        print(f"{sum(one.result() for one in emptied)} event(s) published")
        return 0
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ThreadPoolExecutor(len(drains)) as threads:
        serving = [threads.submit(_serve, drain, stop) for drain in drains]
        # One that can't go on at all ends the others: whoever started us should know.
        wait(serving, return_when=FIRST_EXCEPTION)
        stop.set()
    for one in serving:
        one.result()
    return 0


def _empty(drain: Drain) -> int:
    """Publish until nothing waits; return how many entries that were."""
    total = 0
    with closing(drain):
        while published := drain.turn():
            total += published
    return total


def _serve(drain: Drain, stop: threading.Event) -> None:
    """Publish what comes until told to stop; Redis, database or spool directory may be away meanwhile."""
    trouble = Trouble(drain.depth)
    with closing(drain):
        while not stop.wait(trouble.pause() or max(_POLL_SECONDS, drain.rest)):
            try:
                drain.turn()
                trouble.over()
            except StoreUnavailable as error:
                trouble.met(error)
            except OutboxUnavailable as error:
                trouble.met(f"PostgreSQL: {error}")
            except OSError as error:
                trouble.met(f"spool directory: {error}")
