"""`kinto migrate` creates the outbox's table, through Kinto's interface for migrations of plugins (Kinto 26 and later).

In: Kinto's configuration. Out: a migration that Kinto runs with its own. Imported only where Kinto has that interface;
other Kintos have `kinto-notify init-db`.
"""

import logging
from typing import Any

from kinto.core.storage.postgresql import PostgreSQLPluginMigration

from kinto_notify.outbox.postgresql import create

logger = logging.getLogger(__name__)


class Migration(PostgreSQLPluginMigration):  # type: ignore[misc] # Kinto has no types
    """Brings the table to its present form. Kinto begins to count at version 1: that is none."""

    name = "kinto_notify"
    schema_version = 2

    def migrate_schema(self, start_version: int, dry_run: bool) -> None:
        """Create the table. Called only where the version that is noted in the database is an older one."""
        logger.info("Create PostgreSQL %s schema at version %s.", self.name, self.schema_version)
        if not dry_run:
            # Outside of a request nobody else commits.
            with self.client.connect(force_commit=True) as session:
                create(session)


def register(config: Any) -> None:
    """Add the migration to Kinto's."""
    config.add_migration(Migration())
