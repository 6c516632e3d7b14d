"""The hooks that stand over a change: found in Kinto's metadata, in the transaction of the change.

In: an event as Kinto hands it to a listener, Kinto's storage. Out: the items of an entry's `hooks`, as
docs/wire-format.md has them: each hook as it is written, with its home and the members of the groups that it names.
What is no hook is passed over; raises what the storage backend raises, and then the change goes out without.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kinto_notify.outbox.capture import impacted_of
from kinto_notify.placeholder import parse_template, render

#: The key of kinto-emailer's hooks, which never hear of buckets and groups, and of ours.
EMAILER = "kinto-emailer"
NOTIFY = "kinto-notify"
_WITHOUT_EMAILER = frozenset({"bucket", "group"})
#: An entry has 256 KiB, and the changes want to be told too. Metadata that we checked is far below.
MAX_BYTES = 96 * 1024
#: What was stored before hooks were checked may have more hooks than the check lets through; the first ones count.
_MAX_HOOKS = 100
#: Distinct groups that one event expands or a hook names, the length of a name, and members of one.
_MAX_GROUPS = 100
_MAX_URI = 500
_MAX_MEMBERS = 1_000
#: ... and URIs with placeholders that are written out to find these: the writer waits for it, about 3 µs each.
_MAX_WRITTEN = 1_000
_GROUP = re.compile(r"/buckets/([^/]+)/groups/([^/]+)\Z")
#: What of Kinto's settings a text may show, as in kinto-emailer.
_SETTINGS = ("project_name", "project_version", "url")
_ABSENT = {"record_id": "{record_id}", "collection_id": "{collection_id}"}

Metadata = Mapping[str, Any]
#: Resource, parent, id → the object as storage has it, or None.
Read = Callable[[str, str, str], Metadata | None]
#: A URI and the metadata that it holds.
Home = tuple[str, Metadata]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an impacted object lives: chains of homes whose hooks hear of it, in each the nearest first."""

    object_id: str
    chains: tuple[tuple[Home, ...], ...]


class HookFinder:
    """Finds hooks; `read(resource, parent, id)` returns an object of storage or None, `children(bucket)` a bucket's
    collections; `settings` are Kinto's. `left_out(uri)` hears of hooks that found no room.
    """

    def __init__(
        self,
        read: Read,
        children: Callable[[str], Iterable[Metadata]],
        settings: Mapping[str, Any],
        left_out: Callable[[str], None],
    ) -> None:
        self._settings = {key: str(settings[key]) for key in _SETTINGS if key in settings}
        self._read = read
        self._children = children
        self._left_out = left_out

    def find(self, event: Any) -> dict[str, Any]:
        """Return what an entry's data says of hooks: `hooks`, and `settings` where a text names them; else nothing.

        Each hook is there once, with the ids of the objects it was found for where that is not all.
        """
        payload = getattr(event, "payload", None) or {}
        places = self._places(payload, impacted_of(event))
        found: dict[tuple[str, str, int], tuple[dict[str, Any], list[str]]] = {}
        for place in places:
            for home, key, index, hook in _hooks(place, payload.get("resource_name")):
                item = {"home": home, "key": key, "index": index, "hook": hook}
                found.setdefault((home, key, index), (item, []))[1].append(place.object_id)
        if not found:
            return {}
        groups = _Groups(self._read, payload, f"{type(event).__module__}.{type(event).__qualname__}")
        items = []
        for item, ids in found.values():
            members = groups.of(item, ids)
            if members:
                item["groups"] = members
            if len(ids) < len(places):
                item["changes"] = ids
            items.append(item)
        kept = self._fitting(items)
        named = any("{settings" in str(item["hook"].get(text)) for item in kept for text in ("subject", "template"))
        return {"hooks": kept} | ({"settings": self._settings} if named else {})

    def _fitting(self, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        room = MAX_BYTES
        kept = []
        for item in items:
            size = len(json.dumps(item))
            if size > room:
                self._left_out(f"{item['home']}#{item['index']}")
            else:
                kept.append(item)
                room -= size
        return kept

    def _places(self, payload: Mapping[str, Any], impacted: Sequence[Mapping[str, Any]]) -> list[Place]:
        """Return where each impacted object lives; an event that names none is one of whatever its payload names."""
        resource, bucket_id = payload.get("resource_name"), payload.get("bucket_id")
        deleted = payload.get("action") == "delete"
        objects = [_object(item, deleted=deleted) for item in impacted]
        if resource == "bucket":
            return [
                Place(object_id, (((f"/buckets/{object_id}", state),), *(self._below(object_id) if deleted else ())))
                for object_id, state in objects
            ]
        if not bucket_id:
            return []
        bucket: Home = (f"/buckets/{bucket_id}", self._read("bucket", "", str(bucket_id)) or {})
        if resource == "collection":
            return [
                Place(object_id, (((f"{bucket[0]}/collections/{object_id}", state), bucket),))
                for object_id, state in objects
            ]
        chain: tuple[Home, ...] = (bucket,)
        if payload.get("collection_id"):
            collection_id = str(payload["collection_id"])
            metadata = self._read("collection", bucket[0], collection_id) or {}
            chain = ((f"{bucket[0]}/collections/{collection_id}", metadata), bucket)
        return [Place(object_id, (chain,)) for object_id, _ in objects or [("", {})]]

    def _below(self, bucket_id: str) -> Iterator[tuple[Home]]:
        """Yield the collections that a deleted bucket takes with it: Kinto tells nobody of them (K18)."""
        for metadata in self._children(bucket_id):
            yield ((f"/buckets/{bucket_id}/collections/{metadata.get('id')}", metadata),)


class _Groups:
    """The members of the groups that one event's hooks name, each group read once."""

    def __init__(self, read: Read, payload: Mapping[str, Any], event_name: str) -> None:
        self._read = read
        self._payload = {key: value for key, value in payload.items() if value is not None} | {"event": event_name}
        self._known: dict[str, list[str] | None] = {}
        self._room = _MAX_WRITTEN

    def of(self, item: Mapping[str, Any], ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the members by URI. A group of another bucket than the hook's is none."""
        recipients = item["hook"].get("recipients")
        if not isinstance(recipients, list):
            return {}
        inside = "/".join(item["home"].split("/")[:3]) + "/groups/"
        listed = (one for one in recipients if isinstance(one, str) and len(one) <= _MAX_URI)
        named = itertools.islice(dict.fromkeys(one for one in listed if one.startswith(inside)), _MAX_GROUPS)
        uris = dict.fromkeys(uri for one in named for uri in self._uris(one, ids, emailer=item["key"] == EMAILER))
        found = {uri: self._members(uri) for uri in uris if uri.startswith(inside)}
        return {uri: members for uri, members in found.items() if members is not None}

    def _uris(self, text: str, ids: Sequence[str], *, emailer: bool) -> Iterator[str]:
        """Yield what a group's URI is for each of the objects."""
        try:
            template = parse_template(text)
        except ValueError:
            return
        if not template.names:
            yield render(template, {}).text
            return
        resource = self._payload.get("resource_name")
        written = ids[: min(_MAX_GROUPS, self._room)]
        self._room -= len(written)
        for object_id in written:
            context = {**self._payload, "id": object_id, f"{resource}_id": object_id}
            yield render(template, {**_ABSENT, **context} if emailer else context).text

    def _members(self, uri: str) -> list[str] | None:
        if uri not in self._known:
            found = _GROUP.match(uri)
            if found is None or len(self._known) >= _MAX_GROUPS:
                return None
            group = self._read("group", f"/buckets/{found[1]}", found[2])
            listed = group.get("members") if group else None
            members = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
            self._known[uri] = members[:_MAX_MEMBERS] if group else None
        return self._known[uri]


def _object(item: Mapping[str, Any], *, deleted: bool) -> tuple[str, Metadata]:
    """Return an impacted object's id and the state whose hooks count: the last one that it had."""
    new, old = item.get("new") or {}, item.get("old") or {}
    return str((new or old).get("id", "")), (old or new) if deleted else new


def _hooks(place: Place, resource: object) -> Iterator[tuple[str, str, int, Mapping[str, Any]]]:
    """Yield home, key, index and text of each hook of a place: the nearest home's, and the next one's if inherited."""
    for chain in place.chains:
        for key in (EMAILER, NOTIFY):
            if key == EMAILER and resource in _WITHOUT_EMAILER:
                continue
            for home, metadata in chain:
                if key not in metadata:
                    continue
                section = metadata[key] if isinstance(metadata[key], Mapping) else {}
                hooks = section.get("hooks")
                for index, hook in enumerate(hooks[:_MAX_HOOKS] if isinstance(hooks, list) else ()):
                    if isinstance(hook, Mapping):
                        yield home, key, index, hook
                if section.get("inherit") is not True:
                    break
