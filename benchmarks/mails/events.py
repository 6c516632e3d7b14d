"""Events as Kinto's listener puts them into Redis: an update of a small record, told with what it was before.

In: how many, of how many collections. Out: the JSON text of each, with an id of its own. All contestants get the same.
"""

from collections.abc import Iterator
from typing import Any

from kinto_notify import wire

_ID, _RECORD, _COLLECTION = "the-id-of-it", "the-record", "the-collection"


def event() -> dict[str, Any]:
    """Return one of them."""
    parent = f"/buckets/blog/collections/{_COLLECTION}"
    uri = f"{parent}/records/{_RECORD}"
    old = {"id": _RECORD, "last_modified": 1_700_000_000_000, "title": "A title", "status": "draft", "words": 512}
    new = {**old, "last_modified": 1_700_000_000_100, "title": "A better title", "status": "published", "words": 640}
    data = {
        "action": "update", "resource_name": "record", "timestamp": 1_700_000_000_100, "user_id": "account:alice",
        "uri": uri, "bucket_id": "blog", "collection_id": _COLLECTION, "record_id": _RECORD,
        "event": "kinto.core.events.ResourceChanged", "root_url": "http://localhost:8888/v1/",
        "client_address": "127.0.0.1", "user_agent": "python-requests/2.32", "request_id": _ID,
        "changes": [{"id": _RECORD, "uri": uri, "old": old, "new": new}],
    }  # fmt: skip
    return {
        "specversion": "1.0", "id": _ID, "source": "http://localhost:8888/v1/",
        "type": f"{wire.TYPE_PREFIX}.record.update", "subject": parent, "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json", "dataschema": wire.DATA_SCHEMA, "data": data,
    }  # fmt: skip


def stream_of(number: int, *, collections: int = 1) -> Iterator[bytes]:
    """Make so many, one by one, going round the collections: a million at once would take a gigabyte."""
    form = wire.encode(event()).replace(b"%", b"%%")
    for told in (_ID, _RECORD, _COLLECTION):
        form = form.replace(told.encode(), b"%%(%s)s" % told.encode())
    names = (_ID.encode(), _RECORD.encode(), _COLLECTION.encode())
    for at in range(number):
        values = (wire.new_id().encode(), b"record-%07d" % at, b"articles-%d" % (at % collections))
        yield form % dict(zip(names, values, strict=True))
