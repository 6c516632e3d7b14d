"""A small picture of a rate: one bar a minute, as SVG in the page; no script, and nothing from elsewhere.

Pure. In: counts of minutes, None where nobody counted. Out: markup whose colours are the page's (`currentColor`), with
the same said in words for those who do not see it.
"""

from collections.abc import Sequence

from kinto_notify.web.markup import Html, fill

_BAR, _GAP, _HEIGHT = 3, 1, 40


def picture(what: str, minutes: Sequence[int | None]) -> Html:
    """Draw one; the highest bar is as high as the picture, and the words say how much that is."""
    known = [count for count in minutes if count is not None]
    most = max(known, default=0)
    bars = []
    for place, count in enumerate(minutes):
        if count:
            # What is little beside a peak is still something.
            height = max(round(count * _HEIGHT / most, 1), 1.5)
            x = place * (_BAR + _GAP)
            bars.append(f'<rect x="{x}" y="{_HEIGHT - height}" width="{_BAR}" height="{height}"/>')
    unknown = (len(minutes) - len(known)) * (_BAR + _GAP)
    return fill(
        "kinto_notify.web",
        "picture.html",
        what=what,
        now=f"{known[-1] if known else 0:,}",
        most=f"{most:,}",
        total=f"{sum(known):,}",
        span="in the last hour" if len(known) == len(minutes) else f"since this daemon began, {len(known)} min ago",
        width=len(minutes) * (_BAR + _GAP) - _GAP,
        height=_HEIGHT,
        unknown=unknown,
        bars=Html("".join(bars)),
    )
