"""Where it happened: buckets and collections, read from Kinto URIs, and links to them in Kinto Admin.

Pure. Links are made here and nowhere else, from parts that are quoted one by one: no URL of a record ever becomes one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from kinto_notify.compose.plain import one_line
from kinto_notify.errors import ConfigError

#: A longer link is a hostile id; it is not shown.
MAX_LINK = 600
_MAX_ID = 80
#: Kinto's resources, by their plural in a URI.
_KINDS = ("buckets", "collections", "groups", "records")
#: What says that the whole server is meant.
EVERYWHERE = "kinto"


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, or a collection in it; either may be unknown (empty)."""

    bucket: str = ""
    collection: str = ""

    @property
    def name(self) -> str:
        """How it stands in a subject: `blog/articles`, `blog`, or `kinto` for everywhere."""
        parts = [one_line(part, _MAX_ID) for part in (self.bucket, self.collection) if part]
        return "/".join(parts) or EVERYWHERE


def common_place(group: Mapping[str, str], uris: Iterable[str], complete: bool) -> Place:
    """Return the place of a digest: its group words, else what all of its changes have in common.

    Where not all changes are listed (`complete` is false), only the group words are known to be true of them.
    """
    bucket, collection = group.get("bucket_id", ""), group.get("collection_id", "")
    if bucket or collection or not complete:
        return Place(bucket, collection)
    places = {place_of(uri) for uri in uris}
    buckets = {place.bucket for place in places}
    if len(places) == 1:
        return places.pop()
    return Place(buckets.pop()) if len(buckets) == 1 else Place()


def place_of(uri: str) -> Place:
    """Return the place of an object; nothing where the URI is not one of Kinto's."""
    path = dict(_path(uri))
    return Place(path.get("buckets", ""), path.get("collections", ""))


def check_admin_url(url: str | None) -> str | None:
    """Return the address of Kinto Admin without its last slash; `ConfigError` if it is no http(s) URL."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fit = False
    if not fit or not url.isascii() or any(char in url for char in " \"'<>#\r\n\t"):
        raise ConfigError(f"ADMIN_URL: {url!r} is no http(s) URL")
    return url.rstrip("/")


def admin_link(admin_url: str | None, uri: str) -> str:
    """Return the page of an object in Kinto Admin; empty if there is none."""
    path = _path(uri) if admin_url else []
    if not path:
        return ""
    link = f"{admin_url}/#/" + "/".join(f"{kind}/{_quoted(name)}" for kind, name in path) + "/attributes"
    return link if len(link) <= MAX_LINK else ""


def records_link(admin_url: str | None, place: Place) -> str:
    """Return the list of a collection's records, or of a bucket's collections, in Kinto Admin."""
    if not admin_url or not place.bucket:
        return ""
    link = f"{admin_url}/#/buckets/{_quoted(place.bucket)}/collections"
    if place.collection:
        link += f"/{_quoted(place.collection)}/records"
    return link if len(link) <= MAX_LINK else ""


def _path(uri: str) -> list[tuple[str, str]]:
    """Part `/v1/buckets/blog/collections/articles` into kinds and ids; empty if it is not such a path."""
    steps = uri.split("/")[1:]
    if "%" in uri:
        steps = [unquote(step, errors="replace") for step in steps]
    if steps and steps[0][:1] == "v" and steps[0][1:].isdigit():
        steps = steps[1:]
    path = list(zip(steps[::2], steps[1::2], strict=False))
    if len(steps) % 2 or not path or path[0][0] != "buckets" or any(k not in _KINDS or not name for k, name in path):
        return []
    return path


def _quoted(name: str) -> str:
    # An id may hold a lone surrogate, which UTF-8 cannot.
    return quote(name, safe="", errors="replace")
