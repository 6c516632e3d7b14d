"""Where a Kinto object lives: its URI, its parent's, and the parent id that storage keeps it under.

In: an event's payload and an object's id. Out: URIs without the version prefix. Never fails: what a payload lacks
is left out of the URI.
"""

from collections.abc import Mapping
from typing import Any


def container_uri(payload: Mapping[str, Any]) -> str:
    """Return the URI of the list that the event's objects are in (`/buckets/b/groups`), `""` where it is unknown.

    Kinto's own resources are named by their ids, because a payload's `uri` is that of the request, which differs
    where the default bucket makes a bucket or collection on the way.
    """
    name = str(payload.get("resource_name") or "")
    bucket, collection = payload.get("bucket_id"), payload.get("collection_id")
    if name == "bucket":
        return "/buckets"
    if name in ("collection", "group") and bucket:
        return f"/buckets/{bucket}/{name}s"
    if name == "record" and bucket and collection:
        return f"/buckets/{bucket}/collections/{collection}/records"
    uri = str(payload.get("uri") or "").rstrip("/")
    own = payload.get(f"{name}_id")
    if own and uri.endswith(f"/{own}"):
        return uri[: -len(f"/{own}")]
    return uri


def parent_uri(container: str) -> str:
    """Return the URI of the object that a list belongs to; `/` for a list at the root."""
    return container.rpartition("/")[0] or "/"


def storage_parent(container: str) -> str:
    """Return the parent id under which Kinto's storage keeps the objects of a list."""
    return container.rpartition("/")[0]
