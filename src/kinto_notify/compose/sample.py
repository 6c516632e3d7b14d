"""A digest that shows everything a mail can: for previews, for trying operators' templates, for looking at the mail.

Pure. Nobody's data: invented articles, changed by invented people, at a fixed time.
"""

from dataclasses import replace

from kinto_notify import pointer
from kinto_notify.address import Mailbox
from kinto_notify.diff import FieldDiff
from kinto_notify.digest import DigestKey, FrozenDigest, Line
from kinto_notify.subscription import FILE_HOME, Presentation, Subscription, resolved_text

_ARTICLES = "/buckets/blog/collections/articles"
#: 23 November 2026, 15:04:12 UTC.
_START = 1_795_446_252_000
_MINUTE = 60_000

LINES = (
    Line(
        action="update",
        resource_name="record",
        id="autumn-walks",
        uri=f"{_ARTICLES}/records/autumn-walks",
        title="Ten quiet walks for autumn",
        user_id="account:alice",
        timestamp=_START,
        fields=(
            FieldDiff("/title", "Ten walks for autumn", "Ten quiet walks for autumn"),
            FieldDiff("/status", "draft", "published"),
            FieldDiff(
                "/summary",
                "A list of walks that we made last year and would make again.",
                "Ten walks without a crowd: along rivers, through old orchards, and one to a lighthouse at dusk.",
            ),
            FieldDiff("/tags", None, '["outdoors", "autumn"]'),
            FieldDiff("/review_note", "Check the train times", None),
        ),
    ),
    Line(
        action="create",
        resource_name="record",
        id="5b1f2c7e-9d0a-4c55-8a3e-2f6d0e1b7c94",
        uri=f"{_ARTICLES}/records/5b1f2c7e-9d0a-4c55-8a3e-2f6d0e1b7c94",
        title="How we bake rye bread",
        user_id="account:bruno",
        timestamp=_START + 4 * _MINUTE + 17_000,
        fields=(
            FieldDiff("/title", None, "How we bake rye bread"),
            FieldDiff("/status", None, "draft"),
            FieldDiff("/author", None, "Bruno Álvares"),
        ),
        more_fields=3,
    ),
    Line(
        action="delete",
        resource_name="record",
        id="summer-fair",
        uri=f"{_ARTICLES}/records/summer-fair",
        title="The summer fair",
        user_id="account:alice",
        timestamp=_START + 9 * _MINUTE + 40_000,
        fields=(FieldDiff("/title", "The summer fair", None), FieldDiff("/status", "archived", None)),
    ),
    Line(
        action="update",
        resource_name="record",
        id="rye-starter",
        uri=f"{_ARTICLES}/records/rye-starter",
        title="A starter in five days",
        user_id="account:bruno",
        timestamp=_START + 11 * _MINUTE,
        fields=(FieldDiff("/stock/flour", "3", "2"),),
        maybe=True,
    ),
)


def sample_presentation() -> Presentation:
    """Return the subscription that the sample belongs to."""
    return Presentation(FILE_HOME, "articles", reply_to="editors@example.org")


def sample_digest(presentation: Presentation | None = None) -> FrozenDigest:
    """Return the sample as a digest of this subscription."""
    shown = presentation or sample_presentation()
    group = (("bucket_id", "blog"), ("collection_id", "articles"))
    key = DigestKey(shown.identity, resolved_text(shown, {}), group)
    return FrozenDigest(
        id=key.id,
        key=key,
        recipients=(Mailbox("Editors", "editors@example.org"),),
        counts={"record update": 12, "record create": 3, "record delete": 1},
        lines=LINES,
        first=_START,
        frozen=_START + 12 * _MINUTE,
    )


def sample_for(subscription: Subscription) -> FrozenDigest:
    """Return the sample as this subscription's digests would hold it: without what it leaves out or redacts."""
    digest = sample_digest(subscription.presentation)
    return replace(digest, lines=tuple(_as_filed(line, subscription) for line in digest.lines))


def _as_filed(line: Line, subscription: Subscription) -> Line:
    if subscription.presentation.content != "full":
        return replace(line, title="", fields=(), more_fields=0)
    hidden = subscription.redact
    fields = tuple(one for one in line.fields if not pointer.overlaps(hidden, pointer.parse(one.pointer)))
    # Which field the sample's titles came from is known: /title.
    return replace(
        line,
        title="" if pointer.covers(hidden, ("title",)) else line.title,
        fields=fields,
        hidden=len(fields) < len(line.fields),
    )
