"""The page of acts as markup: what may be paused, resumed, mailed now, tried again or dropped, and one form for it all.

Pure. In: what was found in Redis, the subscriptions, what was just done. Out: one HTML document that loads nothing and
runs no script; its buttons belong to one form, whose field takes the token. Texts of strangers are one line each.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kinto_notify.compose import phrases
from kinto_notify.compose.plain import one_line
from kinto_notify.notice import NOTICE_IDENTITY, plain_reason
from kinto_notify.store.pauses import EVERY
from kinto_notify.web.markup import Html, joined
from kinto_notify.web.page import STYLE, Status, filled, section, shown_name

#: Dead letters that have buttons of their own; those of a reason together have some too.
_ONE_BY_ONE = 20
_MAX_REASONS = 10
_MAX_TOLD = 240


@dataclass(frozen=True, slots=True)
class Done:
    """What an act came to, in a sentence; `well` where it did what was asked."""

    text: str
    well: bool


def acts_page(status: Status, done: Done | None = None) -> str:
    """Write the page."""
    content = filled(
        "acts.html",
        about=status.about,
        done=filled("done.html", kind="good" if done.well else "bad", text=done.text) if done else Html(),
        sections=joined(
            [
                section("Subscriptions", _subscriptions(status), "wide"),
                section("Dead letters by reason", _reasons(status), "", "the newest 200"),
                section("The newest dead letters", _letters(status)),
            ]
        ),
    )
    return filled("shell.html", title="kinto-notify: acts", refresh=Html(), style=Html(STYLE), content=content)


def _subscriptions(status: Status) -> Iterator[Html]:
    paused, opened = status.recent.overview.paused, status.recent.opened
    number = phrases.plural(status.recent.overview.open_digests, "open digest")
    yield _row("All subscriptions", EVERY in paused, number, EVERY)
    ours = [one.identity for one in status.subscriptions]
    hooks = sorted((opened.keys() | paused.keys()) - set(ours) - {EVERY, NOTICE_IDENTITY})
    for identity in (*ours, *hooks):
        told = phrases.plural(opened.get(identity, 0), "open digest")
        yield _row(shown_name(identity), identity in paused, told, identity)


def _row(name: str, held: bool, told: str, identity: str) -> Html:
    buttons = [
        _button("resume", identity, "Resume") if held else _button("pause", identity, "Pause"),
        _button("flush", identity, "Mail open digests now"),
    ]
    state, kind = ("‖ paused", "held") if held else ("✓ active", "good")
    return filled("act_row.html", name=name, state=state, kind=kind, told=told, buttons=joined(buttons))


def _reasons(status: Status) -> Iterator[Html]:
    counted = Counter(plain_reason(one.kind, one.reason) for one in status.recent.dead)
    for reason, count in counted.most_common(_MAX_REASONS):
        buttons = [
            _button("retry-reason", reason, "Try all of these again"),
            _careful("drop-reason", reason, "Drop …", "Drop all of these for good"),
        ]
        yield filled("act_row.html", name=reason, state=f"✕ {count:,}", kind="bad", told="", buttons=joined(buttons))


def _letters(status: Status) -> Iterator[Html]:
    for one in status.recent.dead[:_ONE_BY_ONE]:
        when = phrases.full(phrases.moment(one.when, status.zone))
        buttons = [_button("retry", one.id, "Try again"), _careful("drop", one.id, "Drop …", "Drop it for good")]
        yield filled(
            "act_row.html",
            name=shown_name(one.text("identity")) if one.text("identity") else one.kind,
            state=one.kind,
            kind="",
            told=one_line(f"{when} · {status.masked(one.reason)}", _MAX_TOLD),
            buttons=joined(buttons),
        )


def _button(act: str, what: str, label: str) -> Html:
    return filled("button.html", value=f"{act} {what}", label=label)


def _careful(act: str, what: str, label: str, button: str) -> Html:
    """A button that is shown when it is asked for: what it does cannot be undone."""
    return filled("careful.html", label=label, button=_button(act, what, button))
