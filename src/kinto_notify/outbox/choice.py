"""Which outbox a Kinto gets: the table in its own database, or the spool.

In: the listener's settings and the application's storage. Out: a `TableOutbox`, or None for the spool, and one line in
the log that says which and why. Fails with `ConfigError` where the setting asks for what is not there.
"""

import logging
from typing import Any

from kinto_notify.errors import ConfigError, OutboxUnavailable
from kinto_notify.outbox.counters import Counters
from kinto_notify.outbox.postgresql import Table, too_old
from kinto_notify.outbox.settings import OutboxSettings
from kinto_notify.outbox.spool_outbox import SpoolOutbox
from kinto_notify.outbox.storage import database_client
from kinto_notify.outbox.table_outbox import TableOutbox

logger = logging.getLogger(__name__)

_NO_DATABASE = "Kinto's storage is not PostgreSQL"
_NO_TABLE = "the database has no table kinto_notify_outbox; "
_TO_MAKE_IT = "run `kinto migrate` or `kinto-notify init-db --ini KINTO.ini`"


def choose(
    settings: OutboxSettings, prefix: str, registry: Any, spool: SpoolOutbox, counters: Counters
) -> TableOutbox | None:
    """Return the outbox in PostgreSQL, or None for the spool."""
    if getattr(registry, "command", None) == "migrate":
        # Nothing is written now, and the table is about to be made.
        return None
    by_name = settings.outbox == "postgresql"
    asked = by_name or settings.strict
    why_not = "" if settings.outbox != "spool" else "as it is set"
    why_not = why_not or _storage_lacks(settings, registry)
    try:
        why_not = why_not or _table_lacks(settings)
        why = "as it is set" if asked else "the table kinto_notify_outbox is there"
    except OutboxUnavailable as error:
        # Kinto too starts without its database, and takes no write before that is there.
        why = f"as it is set; whether the table is there PostgreSQL does not say: {error}"
        if not asked:
            # Never decided again while we run: what the spool holds by then the table's events would overtake.
            logger.warning(
                "kinto-notify: outbox = spool in %s until Kinto is restarted, since PostgreSQL does not say whether"
                " there is a table kinto_notify_outbox (%s); to take it for granted: %soutbox = postgresql",
                settings.spool, error, prefix,
            )  # fmt: skip
            return None
    if why_not and asked:
        raise ConfigError(f"{prefix}{'outbox: postgresql' if by_name else 'strict: true'} is not possible: {why_not}")
    if why_not:
        logger.info("kinto-notify: outbox = spool in %s (%s)", settings.spool, why_not)
        return None
    logger.info("kinto-notify: outbox = postgresql (%s)", why)
    return TableOutbox(
        database_client(registry),
        lambda: Table(settings.database, settings.namespace),
        settings.namespace,
        spool,
        counters,
        strict=settings.strict,
    )


def existing_table(settings: OutboxSettings) -> Table | None:
    """Return the table as the commands see it, without Kinto; None where there is none and none is asked for.

    Raises `OutboxUnavailable` where the database does not answer.
    """
    table = Table(settings.database, settings.namespace) if settings.database else None
    try:
        if table is not None and table.exists():
            return table
    except ConfigError:
        # Without the driver nobody can tell whether events wait there; only "spool" says that none do.
        if settings.outbox != "spool":
            raise
    if table is not None:
        table.close()
    if settings.outbox == "postgresql":
        raise ConfigError(f"outbox: postgresql is not possible: {_NO_TABLE + _TO_MAKE_IT if table else _NO_DATABASE}")
    return None


def _storage_lacks(settings: OutboxSettings, registry: Any) -> str:
    client = database_client(registry)
    if client is None or not settings.database:
        return _NO_DATABASE
    if client.commit_manually:
        return "transaction_per_request is off, so each change is committed by itself"
    return too_old()


def _table_lacks(settings: OutboxSettings) -> str:
    table = Table(settings.database, settings.namespace)
    try:
        return "" if table.exists() else _NO_TABLE + _TO_MAKE_IT
    finally:
        table.close()
