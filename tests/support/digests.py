"""Makes frozen digests for tests, with as little said as the test is about."""

from collections.abc import Mapping
from dataclasses import replace

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import LINES
from kinto_notify.compose.slot import filled
from kinto_notify.digest import DigestKey, FrozenDigest, Line
from kinto_notify.subscription import FILE_HOME, Presentation, resolved_text
from support.mail_linter import take

SENDER = Mailbox("Kinto", "kinto@example.org")
READER = Mailbox("", "reader@example.org")
BLOG = (("bucket_id", "blog"), ("collection_id", "articles"))
HELLO = replace(LINES[0], title="Hello")


def digest(
    *lines: Line,
    counts: Mapping[str, int] | None = None,
    group: tuple[tuple[str, str], ...] = BLOG,
    home: str = FILE_HOME,
    name: str = "articles",
    **presentation: object,
) -> FrozenDigest:
    """Return a digest of these lines; without `counts` of these alone."""
    shown = Presentation(home, name, **presentation)  # type: ignore[arg-type]
    counted: dict[str, int] = {}
    for line in lines:
        kind = f"{line.resource_name} {line.action}"
        counted[kind] = counted.get(kind, 0) + 1
    key = DigestKey(shown.identity, resolved_text(shown, {}), group)
    return FrozenDigest(
        id=key.id,
        key=key,
        recipients=(READER,),
        counts=counted if counts is None else counts,
        lines=lines,
        first=1_795_446_252_000,
        frozen=1_795_447_000_123,
    )


def message(composer: Composer, frozen: FrozenDigest, recipient: Mailbox = READER) -> bytes:
    """Return the whole mail."""
    made = filled(composer.headers(frozen, recipient), composer.body(frozen), frozen.id)
    take(made)
    return made
