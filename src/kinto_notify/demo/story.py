"""What the demo writes to Kinto, and what must be in the mails about it.

Pure: `WRITES` in the order in which they are sent, and a check that counts the changes reported by the mails. A mail
names the URI of each change on a line of its own; so a change that is missing, or reported twice, shows in the counts.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

BUCKET = "/buckets/blog"
COLLECTION = f"{BUCKET}/collections/posts"

_POSTS = (
    ("tide-tables", "Reading tide tables like a harbour pilot", "published", "Maren Olsen"),
    ("sourdough-winter", "A sourdough that rises in a cold kitchen", "published", "Ibrahim Sané"),
    ("night-trains", "Night trains are back, and so is the dining car", "published", "Lucía Ferrer"),
    ("quiet-keyboards", "Quiet keyboards for shared offices", "draft", "Tomasz Lis"),
    ("bees-on-roofs", "What the bees on our roof taught the accountants", "published", "Maren Olsen"),
    ("city-by-bus", "A city is best learned by bus", "draft", "Lucía Ferrer"),
    ("winter-light", "Photographing people in winter light", "published", "Aiko Tanaka"),
    ("old-maps", "Why old maps put the south on top", "published", "Ibrahim Sané"),
    ("second-violin", "In praise of the second violin", "review", "Aiko Tanaka"),
    ("repair-cafe", "The repair café: a toaster's second life", "published", "Tomasz Lis"),
    ("library-hours", "Libraries that never close", "draft", "Maren Olsen"),
    ("rye-and-salt", "Rye, salt, water: three recipes for one loaf", "published", "Ibrahim Sané"),
    ("cold-swimming", "Cold swimming for the sceptical", "review", "Lucía Ferrer"),
    ("paper-diaries", "Paper diaries in a calendar age", "draft", "Aiko Tanaka"),
    ("allotments", "The politics of allotment gardens", "published", "Maren Olsen"),
    ("radio-plays", "Radio plays & the theatre of the ear", "published", "Tomasz Lis"),
    ("chess-in-parks", "Chess in the park: a field guide", "draft", "Ibrahim Sané"),
    ("slow-news", "Slow news: reading last month's paper", "review", "Lucía Ferrer"),
    ("lighthouse", "The last lighthouse keeper's logbook", "published", "Aiko Tanaka"),
    ("placeholder", "Test, please ignore", "draft", "Tomasz Lis"),
)


@dataclass(frozen=True, slots=True)
class Write:
    """One request to Kinto, and the URI of the one object that it changes."""

    method: str
    uri: str
    body: bytes | None = None


def _put(uri: str, **data: str) -> Write:
    return Write("PUT", uri, json.dumps({"data": data}).encode())


def _record(slug: str) -> str:
    return f"{COLLECTION}/records/{slug}"


def _patch(slug: str, **data: str) -> Write:
    return Write("PATCH", _record(slug), json.dumps({"data": data}).encode())


WRITES: tuple[Write, ...] = (
    _put(BUCKET),
    _put(COLLECTION),
    *(_put(_record(slug), title=title, status=status, author=author) for slug, title, status, author in _POSTS),
    _patch("quiet-keyboards", status="published", title="Quiet keyboards for loud thinkers"),
    _patch("second-violin", status="published"),
    Write("DELETE", _record("placeholder")),
)


def try_it(kinto_url: str, user: str) -> str:
    """Return the command with which a person writes one more record, each time it runs."""
    return (
        f"curl -u {user} -H 'Content-Type: application/json' \\\n"
        """  -d '{"data": {"title": "Hello", "status": "draft"}}' \\\n"""
        f"  {kinto_url}{COLLECTION}/records"
    )


def expected() -> Counter[str]:
    """Return how many changes of each URI the mails must report."""
    return Counter(write.uri for write in WRITES)


def reported(texts: Iterable[str]) -> Counter[str]:
    """Count the changes of the story's URIs that the texts of the mails report."""
    wanted = expected()
    lines = (line.strip() for text in texts for line in text.splitlines())
    return Counter(line for line in lines if line in wanted)


def missing(texts: Iterable[str]) -> int:
    """Return how many changes the mails do not report yet."""
    return (expected() - reported(texts)).total()


def faults(texts: Iterable[str]) -> tuple[str, ...]:
    """Say what the mails got wrong, one line for each URI; empty when each change is reported exactly once."""
    wanted, got = expected(), reported(texts)
    return tuple(f"{uri}: {wanted[uri]} written, {got[uri]} reported" for uri in wanted if got[uri] != wanted[uri])
