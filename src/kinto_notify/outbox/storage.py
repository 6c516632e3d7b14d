"""What Kinto's (or Cliquet's) storage holds now, as `last_modified` by object.

In: the registry of the application. Out: timestamps of live objects and tombstones. Raises what the storage backend
raises; in PostgreSQL such a fault is undone, so that the write can go on. Both projects' APIs are imported when first
needed, since only one of them is there.
"""

import functools
import importlib
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from kinto_notify.outbox.session import harmless

#: Backends whose objects end with the process that holds them.
_VOLATILE = (".storage.memory",)
#: Deleting more parents than this in one request tells no counts of their children.
_MAX_PARENTS_COUNTED = 20
#: The resources whose parent id in storage is known to be that of their URI. A plug-in's own may differ.
_KINTOS = frozenset({"bucket", "group", "collection", "record"})
_IDS_PER_QUERY = 500
#: Of a deleted bucket: so many collections' own hooks hear of it.
_MAX_COLLECTIONS = 100
_POSTGRESQL = "kinto.core.storage.postgresql"


def database_client(registry: Any) -> Any:
    """Return the client of Kinto's storage in PostgreSQL, None where the storage is another."""
    storage = getattr(registry, "storage", None)
    # Not Cliquet's, which has another interface. Not imported for Kintos that have not loaded it.
    if storage is None or _POSTGRESQL not in sys.modules:
        return None
    known = importlib.import_module(_POSTGRESQL).Storage
    return storage.client if isinstance(storage, known) else None


@functools.cache
def storage_outside(database: str, backend: str) -> "StorageView":
    """Return Kinto's storage as a command outside Kinto can ask it; one that knows nothing where it can't.

    That is all but PostgreSQL's (memory has died with Kinto), and where Kinto is not installed beside the command.
    """
    if not database or backend != _POSTGRESQL:
        return StorageView(None)
    try:
        kinto = importlib.import_module(_POSTGRESQL)
        configurator = importlib.import_module("pyramid.config").Configurator
        # Each question is a transaction by itself, of one object.
        settings = {"storage_url": database, "storage_max_fetch_size": _IDS_PER_QUERY}
        storage = kinto.load_from_config(configurator(settings=settings))
        # It tells of each fault with a traceback; who asks is told by the exception.
        logging.getLogger(f"{_POSTGRESQL}.client").setLevel(logging.CRITICAL)
    except (ImportError, ImportWarning):
        # The latter is Kinto's word for a missing SQLAlchemy.
        return StorageView(None)
    return StorageView(SimpleNamespace(storage=storage))


class StorageView:
    """Reads the application's storage; `None` as registry or no storage in it: knows nothing."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    @property
    def _storage(self) -> Any:
        return getattr(self._registry, "storage", None)

    def outlives_process(self) -> bool:
        """Tell whether what a dead process wrote is still there."""
        storage = self._storage
        return storage is not None and not type(storage).__module__.endswith(_VOLATILE)

    def release(self) -> None:
        """End what asking has begun, outside of a request: PostgreSQL would keep the transaction open for ever."""
        if self.outlives_process():
            importlib.import_module("transaction").abort()

    def last_modified(self, resource: str, parent: str, ids: Iterable[str]) -> dict[str, int | None]:
        """Return `last_modified` by id, of tombstones too, None for what is absent; nothing if it can't be asked."""
        wanted = list(dict.fromkeys(ids))
        storage = self._storage
        if storage is None or resource not in _KINTOS:
            return {}
        core = importlib.import_module(type(storage).__module__.partition(".")[0])
        known: dict[str, int | None] = dict.fromkeys(wanted)
        with self._harmless():
            for start in range(0, len(wanted), _IDS_PER_QUERY):
                for found in _list(core.__name__, storage, resource, parent, wanted[start : start + _IDS_PER_QUERY]):
                    known[str(found["id"])] = found["last_modified"]
        return known

    def children(self, resource: str, uris: Sequence[str]) -> dict[str, int]:
        """Count what buckets or collections hold, by resource; empty if that is unknown or they are many."""
        storage = self._storage
        patterns: dict[str, Mapping[str, str]] = {
            "bucket": {"collection": "{}", "group": "{}", "record": "{}/collections/*"},
            "collection": {"record": "{}"},
        }
        if resource not in patterns or len(uris) > _MAX_PARENTS_COUNTED or not hasattr(storage, "count_all"):
            return {}
        with self._harmless():
            counts = {
                child: sum(storage.count_all(child, pattern.format(uri)) for uri in uris)
                for child, pattern in patterns[resource].items()
            }
        return {child: count for child, count in counts.items() if count}

    def read(self, resource: str, parent: str, object_id: str) -> dict[str, Any] | None:
        """Return an object as this transaction sees it; None if there is none."""
        storage = self._storage
        if storage is None:
            return None
        faults = importlib.import_module(f"{type(storage).__module__.partition('.')[0]}.core.storage.exceptions")
        # Kinto before 14 calls it RecordNotFoundError.
        absent = getattr(faults, "ObjectNotFoundError", None) or faults.RecordNotFoundError
        try:
            with self._harmless():
                found: dict[str, Any] = storage.get(resource, parent, object_id)
        except absent:
            return None
        return found

    def collections(self, bucket_id: str) -> list[dict[str, Any]]:
        """Return a bucket's collections with their metadata, the first hundred."""
        storage = self._storage
        if not hasattr(storage, "list_all"):
            return []
        with self._harmless():
            return list(storage.list_all("collection", f"/buckets/{bucket_id}", limit=_MAX_COLLECTIONS))

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        client = database_client(self._registry)
        if client is None or client.commit_manually:
            yield
            return
        with client.connect(readonly=True) as session, harmless(session):
            yield


def _list(package: str, storage: Any, resource: str, parent: str, ids: list[str]) -> list[Any]:
    core = "kinto.core" if package != "cliquet" else "cliquet"
    filter_class = importlib.import_module(f"{core}.storage").Filter
    comparison = importlib.import_module(f"{core}.utils").COMPARISON
    filters = [filter_class("id", ids, comparison.IN)]
    if hasattr(storage, "list_all"):
        return list(storage.list_all(resource, parent, filters=filters, include_deleted=True))
    # Cliquet, and Kinto before 14, answer with the objects and their number.
    return list(storage.get_all(resource, parent, filters=filters, include_deleted=True)[0])
