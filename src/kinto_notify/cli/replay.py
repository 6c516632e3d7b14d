"""`kinto-notify replay`: what the outbox has kept is published again, under the same event ids.

In: Kinto's ini and a time. Out: the number of events, on standard output. What the daemon has filed already it drops,
so that only what Redis lost makes mails; but a Redis that lost all has also lost what it had filed.
"""

import argparse
import sys
import time
from pathlib import Path

from kinto_notify.cli.moment import parse_since
from kinto_notify.errors import StreamHeld
from kinto_notify.outbox.ini import read_ini
from kinto_notify.outbox.kept import batches, kept_since
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.split import Entry
from kinto_notify.outbox.stream import Stream

#: While Redis is nearly full, we look this often whether the daemons have made room.
_HELD_SECONDS = 1.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    help_text = "publish again what Kinto's outbox has kept"
    parser = commands.add_parser("replay", help=help_text, description=__doc__)
    parser.add_argument("--ini", type=Path, required=True, metavar="KINTO.ini", help="Kinto's configuration file")
    since_text = "published since then: 2026-11-23T08:00 (UTC, if it names no offset), or a duration ago: 2h"
    parser.add_argument("--since", type=parse_since, required=True, metavar="TIME", help=since_text)
    parser.add_argument("--dry-run", action="store_true", help="only count them")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Publish again what was published since a time, or count it."""
    since = int(arguments.since.timestamp() * 1000)
    total = sum(_replay(settings, since, dry=arguments.dry_run) for settings in read_ini(arguments.ini))
    would = "would be " if arguments.dry_run else ""
    print(f"{total} event(s) {would}published again, those since {arguments.since:%Y-%m-%dT%H:%M:%SZ}")
    return 0


def _replay(settings: OutboxSettings, since: int, *, dry: bool) -> int:
    stream = Stream(settings.url, settings.namespace, settings.retention)
    published = 0
    try:
        for batch in batches(kept_since(settings, since)):
            if not dry:
                _append(stream, [kept.entry for kept in batch])
            published += len(batch)
    finally:
        stream.close()
    return published


def _append(stream: Stream, entries: list[Entry]) -> None:
    """Append a batch; wait for room as long as it takes, since a replay begins anew each time it is called."""
    told = False
    while True:
        try:
            stream.append(entries)
        except StreamHeld as held:
            if not told:
                print(f"{held}: waiting for the daemons to make room", file=sys.stderr)
            told = True
            time.sleep(_HELD_SECONDS)
        else:
            time.sleep(stream.rest)
            return
