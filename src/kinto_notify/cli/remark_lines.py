"""Remarks of hooks as lines for a person: in: what is kept of them. Out: some lines, the newest first."""

from collections.abc import Iterator, Sequence

from kinto_notify.cli.moment import shown_moment
from kinto_notify.store.remarks import Noted

#: What a page of a terminal has room for; `status --json` has all.
_MOST = 20
_MEANT = {
    "unreadable": "skipped, cannot be read",
    "recipient": "recipient passed over, outside the policy",
    "sender": "sender not used, outside the policy",
    "placeholder": "its text asks for what a change has not",
    "slow": "a pattern ran too long",
    "switched_off": "switched off until it is edited",
}


def remark_lines(noted: Sequence[Noted]) -> Iterator[str]:
    """Yield a line for each of the newest, and one that says how many more there are."""
    for one in noted[:_MOST]:
        line = f"hook {one.hook}: {_MEANT.get(one.kind, one.kind)}: {one.detail} (noted {shown_moment(one.when)})"
        # A hook is a text of strangers.
        yield "".join(char if char.isprintable() else "�" for char in line)
    if len(noted) > _MOST:
        yield f"and {len(noted) - _MOST} more remarks of hooks: kinto-notify status --json"
