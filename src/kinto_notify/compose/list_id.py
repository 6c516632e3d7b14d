"""The List-Id of a subscription (RFC 2919): what mail filters sort by.

Pure. In: a subscription's home and name, and our domain. Out: `<articles.kinto-notify.example.org>`, for a hook
`<name.collection.bucket.kinto-notify.example.org>`; two subscriptions never share one. Never fails.
"""

import hashlib
import re

from kinto_notify.compose.places import place_of
from kinto_notify.subscription import FILE_HOME

_UNFIT = re.compile(r"[^a-z0-9_-]+")
#: Two labels of an object, a name, ours and a domain must stay within RFC 2919's 255 characters and fold within a line.
_MAX_LABEL = 32
_HASH_LENGTH = 8


def list_id(home: str, name: str, domain: str) -> str:
    """Return the list id in its angle brackets."""
    labels = [_label(name)]
    if home != FILE_HOME:
        place = place_of(home)
        labels += [_label(part) for part in (place.collection, place.bucket) if part] or [_label(home)]
    return f"<{'.'.join([*labels, 'kinto-notify', domain])}>"


def _label(text: str) -> str:
    """Return text as a label; where that loses something, a hash keeps different texts apart."""
    label = _UNFIT.sub("-", text.lower()).strip("-")
    if label and label == text and len(label) <= _MAX_LABEL:
        return label
    told = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{label[: _MAX_LABEL - _HASH_LENGTH - 1]}-{told}".lstrip("-")
