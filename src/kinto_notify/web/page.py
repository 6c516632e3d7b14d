"""The status page as markup, and the page of a preview.

Pure. In: what was found in Redis, the subscriptions, the rates. Out: one HTML document that loads nothing, runs no
script, holds no form and no address. Texts of strangers (names of buckets, a relay's words) are one bounded line each.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from importlib.resources import files
from urllib.parse import quote

from kinto_notify.compose import phrases
from kinto_notify.compose.composer import Parts
from kinto_notify.compose.plain import one_line
from kinto_notify.in_words import filters_in_words, rules_in_words
from kinto_notify.notice import NOTICE_IDENTITY, plain_reason
from kinto_notify.pressure import SLOW, Load
from kinto_notify.store.pauses import EVERY
from kinto_notify.store.recent import COUNTED, OpenDigest, Recent, RecentMail
from kinto_notify.subscription import FILE_HOME, Subscription
from kinto_notify.web.markup import Html, fill, joined
from kinto_notify.web.pictures import picture
from kinto_notify.web.rates import Rates

#: Often enough to follow, seldom enough to read a line.
REFRESH_S = 15
#: Fill one of our templates.
filled = partial(fill, "kinto_notify.web")
_MAX_NAME, _MAX_TOLD, _MAX_ROWS = 100, 240, 40
#: Of a fingerprint, as the log shows it.
_FINGERPRINT = 12
#: Put into each page; its hash is what the policy allows.
STYLE = re.sub(r"\s+", " ", files("kinto_notify.web").joinpath("pages", "style.css").read_text("utf-8"))
_NUMBERS = (
    ("lag", "events unread"),
    ("pending", "being filed"),
    ("open_digests", "digests open"),
    ("paused_digests", "of them paused"),
    ("deliveries", "mails waiting"),
    ("dead_letters", "dead letters"),
)


@dataclass(frozen=True, slots=True)
class Status:
    """What the status page tells. `masked` writes a relay's words without the addresses in them."""

    recent: Recent
    subscriptions: Sequence[Subscription]
    rates: Rates
    about: str
    unready: Sequence[str]
    zone: tzinfo
    masked: Callable[[str], str]


def status_page(status: Status) -> str:
    """Write the status page."""
    seen = status.recent.overview
    reasons = [*status.unready, *("everything is paused" for _ in seen.paused.keys() & {EVERY})]
    numbers = seen.numbers()
    sections = (
        section("Subscriptions", _subscriptions(status), "wide"),
        section("Open digests", _digests(status), "", _more(len(status.recent.digests), seen.open_digests)),
        section("Recent mails", _mails(status, status.recent.mails)),
        section("Mails that wait", _mails(status, status.recent.waiting), "", _more(20, seen.deliveries)),
        section("Dead letters", _dead(status)),
        section("Relays out of use", _relays(status)),
        *([section("Redis", _room(seen.load))] if seen.load.level >= SLOW else ()),
    )
    now = status.recent.now
    content = filled(
        "status.html",
        about=status.about,
        well="bad" if reasons else "good",
        verdict="\n".join(f"✕ {one}" for one in reasons) or "✓ mail can be sent",
        numbers=joined([_number(label, numbers[name]) for name, label in _NUMBERS]),
        pictures=joined(
            [
                picture("Events a minute", status.rates.minutes("events", now)),
                picture("Mails a minute", status.rates.minutes("sent", now)),
            ]
        ),
        sections=joined(list(sections)),
        moment=phrases.full(phrases.moment(now, status.zone)),
        refresh=REFRESH_S,
    )
    refresh = Html(f'<meta http-equiv="refresh" content="{REFRESH_S}">')
    return filled("shell.html", title="kinto-notify", refresh=refresh, style=Html(STYLE), content=content)


def preview_page(name: str, parts: Parts) -> str:
    """Write a mail as HTML, in a frame where nothing may run, and its text beside it."""
    content = filled("preview.html", subject=parts.subject, name=shown_name(name), html=parts.html, text=parts.text)
    return filled("shell.html", title="Preview", refresh=Html(), style=Html(STYLE), content=content)


def notice_page(text: str) -> str:
    """Write a page that says one thing."""
    content = Html(f'<p class="verdict bad">{filled("plain.html", text=text)}</p>')
    refresh = Html(f'<meta http-equiv="refresh" content="{REFRESH_S}">')
    return filled("shell.html", title="kinto-notify", refresh=refresh, style=Html(STYLE), content=content)


def shown_name(identity: str) -> str:
    """Write whose a digest or a mail is: the operator's subscriptions by their name, hooks by home and name."""
    if identity == NOTICE_IDENTITY:
        return "notice to the operator"
    return one_line(identity.removeprefix(f"{FILE_HOME}#"), _MAX_NAME) or "(not known any more)"


# Sections.


def _subscriptions(status: Status) -> Iterator[Html]:
    paused, recent = status.recent.overview.paused, status.recent
    ours = {one.identity: one for one in status.subscriptions}
    hooks = sorted((recent.opened.keys() | recent.last_mail.keys() | paused.keys()) - ours.keys() - {EVERY})
    for identity in (*ours, *(one for one in hooks if one != NOTICE_IDENTITY)):
        one = ours.get(identity)
        name = shown_name(identity)
        link = (
            filled("link.html", address=f"/preview/{quote(one.presentation.name, safe='')}", name=name) if one else ""
        )
        held = identity in paused or EVERY in paused
        told = [_counted(recent.opened.get(identity, 0), "open digest", recent.overview.open_digests > COUNTED)]
        last = recent.last_mail.get(identity)
        told.append(f"last mail {_ago(recent.now, last)}" if last else "no mail lately")
        if one is not None:
            people = phrases.plural(len(one.recipients), "recipient")
            told += [people, filters_in_words(one), rules_in_words(one.rules)]
        yield _row(link or name, "‖ paused" if held else "✓ active", "held" if held else "good", " · ".join(told))


def _digests(status: Status) -> Iterator[Html]:
    now = status.recent.now
    for one in status.recent.digests:
        due = "‖ paused" if one.paused else "due now" if one.due <= now else f"due {_ahead(now, one.due)}"
        told = f"{_group(one)} · {phrases.plural(one.changes, 'change')}"
        yield _row(shown_name(one.identity), due, "held" if one.paused else "", f"{told} · {_moment(status, one.due)}")


def _mails(status: Status, mails: Iterable[RecentMail]) -> Iterator[Html]:
    for one in mails:
        if one.state == "waiting":
            state, kind = f"↻ {phrases.plural(one.attempts, 'attempt')}", "held" if one.attempts else ""
            when = f"due {_moment(status, one.at)}"
        else:
            state, kind = ("✓ sent", "good") if one.state == "sent" else ("– not sent", "held")
            when = _moment(status, one.at)
        told = f"{when} · to {one.recipient[:_FINGERPRINT]}" + (f" · {status.masked(one.told)}" if one.told else "")
        yield _row(shown_name(one.identity), state, kind, told)


def _dead(status: Status) -> Iterator[Html]:
    letters = status.recent.dead
    for reason, count in Counter(plain_reason(one.kind, one.reason) for one in letters).most_common(10):
        yield _row(reason, f"✕ {count:,}", "bad", "of the newest 200")
    if letters:
        newest = letters[0]
        told = f"{_moment(status, newest.when)} · {status.masked(newest.reason)}"
        yield _row(f"the newest: {shown_name(newest.text('identity'))}", "", "", told)


def _relays(status: Status) -> Iterator[Html]:
    for one in status.recent.overview.outages:
        told = f"since {_moment(status, one.opened)}, at daemon {one.daemon} · {status.masked(one.fault)}"
        yield _row(one.relay, "✕ not used", "bad", told)


def _room(load: Load) -> Iterator[Html]:
    yield _row("nearly full", "‖ slowed or held", "held", f"{load}; Kinto's outbox keeps what is written meanwhile")


# Their parts.


def section(title: str, rows: Iterable[Html], kind: str = "", note: str = "") -> Html:
    """Write a list under its title; `note` stands beside that."""
    found = list(rows)
    shown = joined(found[:_MAX_ROWS]) or Html('<li class="none">none</li>')
    note = note or _more(_MAX_ROWS, len(found))
    return filled("section.html", title=title, note=note, rows=shown, kind=kind)


def _row(name: str, state: str, kind: str, told: str) -> Html:
    shown = name if isinstance(name, Html) else one_line(name, _MAX_NAME)
    return filled("row.html", name=shown, state=state, kind=kind, told=one_line(told, 2 * _MAX_TOLD))


def _number(label: str, number: int) -> Html:
    return filled("number.html", label=label, number=f"{number:,}")


def _group(one: OpenDigest) -> str:
    words: Mapping[str, str] = dict(one.group)
    rest = [f"{word} {value}" for word, value in words.items() if word not in ("bucket_id", "collection_id") and value]
    place = "/".join(filter(None, (words.get("bucket_id", ""), words.get("collection_id", ""))))
    return one_line(", ".join(filter(None, (place, *rest))), _MAX_NAME) or "everything"


def _more(shown: int, total: int) -> str:
    return f"{total:,}, of which {shown:,} are shown" if total > shown else ""


def _counted(number: int, what: str, more: bool) -> str:
    return phrases.plural(number, what) + (f" of the first {COUNTED:,}" if more else "")


def _moment(status: Status, stamp: int) -> str:
    return phrases.full(phrases.moment(stamp, status.zone))


def _ago(now: int, then: int) -> str:
    return f"{_span(now - then)} ago"


def _ahead(now: int, then: int) -> str:
    return f"in {_span(then - now)}"


def _span(milliseconds: int) -> str:
    """Write a time in its largest unit: nobody counts the seconds of an hour."""
    seconds = max(milliseconds, 0) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
