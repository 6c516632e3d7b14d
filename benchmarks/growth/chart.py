"""Curves as a picture: SVG, written by hand.

In: a title and some series over the same whole numbers. Out: the text of one SVG file. The horizontal axis is
logarithmic, the vertical one begins at 0: a cost that does not grow is a level line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 32, 44, 48
#: Told apart without colour too: by the marks, and by their order from above.
_LINES = (("#1b6e4f", "circle"), ("#2456a6", "square"), ("#8a4b12", "diamond"))
_FONT = 'font-family="sans-serif" font-size="12" fill="#222"'


@dataclass(frozen=True, slots=True)
class Series:
    """One curve."""

    name: str
    values: Sequence[float]


def chart(title: str, across: str, places: Sequence[int], series: Sequence[Series]) -> str:
    """Draw the series over the places; a place of 0 stands where 1 would."""
    top = _round_up(max(value for one in series for value in one.values))
    logs = [math.log10(max(place, 1)) for place in places]
    span = (logs[-1] - logs[0]) or 1.0

    def x(at: int) -> float:
        return _LEFT + (logs[at] - logs[0]) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)

    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" {_FONT} font-weight="bold">{escape(title)}</text>',
        f'<text x="{_WIDTH / 2:.0f}" y="{_HEIGHT - 8}" {_FONT} text-anchor="middle">{escape(across)}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        parts.append(f'<path d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" {_FONT} text-anchor="end">{value:g}</text>')
    parts += [
        f'<text x="{x(at):.1f}" y="{_HEIGHT - _BOTTOM + 18}" {_FONT} text-anchor="middle">{place:,}</text>'
        for at, place in enumerate(places)
    ]
    for number, one in enumerate(series):
        colour, mark = _LINES[number]
        points = [(x(at), y(value)) for at, value in enumerate(one.values)]
        line = " ".join(f"{left:.1f},{upper:.1f}" for left, upper in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [_mark(mark, left, upper, colour) for left, upper in points]
        key = _LEFT + 130 * number
        parts += [_mark(mark, key + 5, 31, colour), f'<text x="{key + 14}" y="35" {_FONT}>{escape(one.name)}</text>']
    return "\n".join((*parts, "</svg>", ""))


def _mark(kind: str, left: float, upper: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{left:.1f}" cy="{upper:.1f}" r="4" fill="{colour}"/>'
    turn = f' transform="rotate(45 {left:.1f} {upper:.1f})"' if kind == "diamond" else ""
    return f'<rect x="{left - 3.5:.1f}" y="{upper - 3.5:.1f}" width="7" height="7" fill="{colour}"{turn}/>'


def _round_up(value: float) -> float:
    """Return the next number that quarters well."""
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= value)
