"""The page by which a recipient rules one subscription: what it says, and what can be done about it.

Pure. In: what is kept of the recipient's wishes. Out: HTML that works without JavaScript, loads nothing and fits a
phone; and the policy that it is served under. Names are escaped: a hook's author chose them. Never fails.
"""

import base64
import hashlib
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template

from kinto_notify.compose.phrases import full
from kinto_notify.compose.plain import one_line
from kinto_notify.compose.view import home_phrase
from kinto_notify.store.preferences import Kept
from kinto_notify.wish import Wish

_MAX_NAME = 120
#: The acts of a form, in the order of their buttons, and their words.
_WORDS = {
    "unsubscribe": "Unsubscribe",
    "resubscribe": "Get all of these mails",
    "daily": "Get one mail a day",
    "mute-day": "Mute for a day",
    "mute-week": "Mute for a week",
}
_PAGES = files("kinto_notify.web").joinpath("pages")
_STYLE = _PAGES.joinpath("inbox.css").read_text("utf-8")
_SHELL = Template(_PAGES.joinpath("inbox.html").read_text("utf-8"))
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: Our style, a form to ourselves, and nothing else from anywhere.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
NOT_VALID = (
    "This link is not valid",
    "It may be cut off, or too old: open the one in the newest mail, or ask whoever runs this Kinto. "
    "Nothing was changed.",
)
NOT_UNDERSTOOD = ("That was not understood", "Nothing was changed. Open the link in the mail again.")
TOO_OFTEN = ("Too often", "This link was used many times just now. Try again in a minute.")
NOT_NOW = ("Not now", "This cannot be looked up at the moment, and nothing was changed. Try again in a minute.")


def notice(said: tuple[str, str]) -> str:
    """Return a page that says one thing: a title and a sentence."""
    return _page(*said, "")


def inbox_page(kept: Kept) -> str:
    """Return the page of a recipient and a subscription, with what can be done."""
    name = _name(kept.identity)
    title, text, acts = _said(kept)
    buttons = "".join(f'<button name="act" value="{act}">{escape(_WORDS[act])}</button>\n' for act in acts)
    note = '<p class="note">While muted, and while unsubscribed, mails are not made: they do not come later.</p>'
    form = f'<form method="post">\n{buttons}</form>\n{note}' if acts else ""
    return _page(title, text.format(name=name), form)


def _said(kept: Kept) -> tuple[str, str, tuple[str, ...]]:
    """Return the title, the text with a place for the subscription's name, and the acts."""
    one = kept.preference
    if kept.every.unwanted(kept.now):
        return "You get no mails", "All mails to you were stopped by whoever runs this Kinto; ask them.", ()
    if one.wish is Wish.OFF:
        return "You are unsubscribed", "No more mails of {name} come to you.", ("resubscribe",)
    if one.muted_until > kept.now:
        until = full(datetime.fromtimestamp(one.muted_until // 1000, UTC))
        return "Muted", f"No mails of {{name}} come to you until {until}.", ("resubscribe", "unsubscribe")
    if one.wish is Wish.DAILY:
        acts = ("resubscribe", "unsubscribe", "mute-day", "mute-week")
        return "One mail a day", "One mail a day of {name} comes to you. What waited before still comes at once.", acts
    return "Stop these mails?", "Mails of {name} come to you.", ("unsubscribe", "daily", "mute-day", "mute-week")


def _name(identity: str) -> str:
    if not identity:
        return "this subscription"
    home, _, name = identity.partition("#")
    return f"the subscription “{one_line(name, _MAX_NAME)}”, in {home_phrase(home)},"


def _page(title: str, text: str, form: str) -> str:
    return _SHELL.substitute(title=escape(title), text=escape(text), style=_STYLE, form=form)
