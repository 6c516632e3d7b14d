"""`kinto-notify init-db`: creates the outbox's table in Kinto's database, for Kintos whose `migrate` does not.

In: Kinto's ini. Out: the table is there, and a line says whether it was before. `ConfigError` where Kinto's storage is
not PostgreSQL or has no tables yet, `OutboxUnavailable` where the database does not answer or refuses.
"""

import argparse
from pathlib import Path

from kinto_notify.errors import ConfigError
from kinto_notify.outbox.ini import read_ini
from kinto_notify.outbox.postgresql import Table


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    help_text = "create the outbox's table in Kinto's PostgreSQL"
    parser = commands.add_parser("init-db", help=help_text, description=__doc__)
    parser.add_argument("--ini", type=Path, required=True, metavar="KINTO.ini", help="Kinto's configuration file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Create the table, unless it is there."""
    databases = {settings.database: settings for settings in read_ini(arguments.ini)}
    if "" in databases:
        raise ConfigError(f"{arguments.ini}: Kinto's storage is not PostgreSQL (storage_backend, storage_url)")
    for settings in databases.values():
        table = Table(settings.database, settings.namespace)
        try:
            before = table.exists()
            table.create()
        finally:
            table.close()
        print(f"kinto_notify_outbox {'is there already' if before else 'created'}")
    return 0
