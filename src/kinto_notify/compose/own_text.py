"""The text of a mail whose hook brought its own, rendered change by change when the event was filed.

Pure. In: a frozen digest. Out: the text part, exactly as the hook has it, or None if the mail is the usual one; cut to
what there is room for, which only a template larger than a mail may be reaches.
"""

from kinto_notify.digest import FrozenDigest

#: How much of it is tried, in characters: the HTML part says it a second time.
ROOMS = (60_000, 30_000, 15_000, 7_000)
_CUT = "\n[…]"
_BETWEEN = "\n\n"


def own_text(digest: FrozenDigest, room: int) -> str | None:
    """Return the texts of the digest's changes, a blank line between two, and how many more there were."""
    texts = [line.text for line in digest.lines if line.text is not None]
    if not texts:
        return None
    text = _BETWEEN.join(texts)
    if len(text) > room:
        text = text[: room - len(_CUT)] + _CUT
    more = digest.changes - len(texts)
    return f"{text}{_BETWEEN}and {more:,} more" if more > 0 else text


def own_subject(digest: FrozenDigest) -> str | None:
    """Return the subject that the hook has for all of the digest's changes; None if they differ or it has none."""
    subjects = {line.subject for line in digest.lines}
    return subjects.pop() if len(subjects) == 1 else None
