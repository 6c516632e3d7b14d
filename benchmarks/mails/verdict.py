"""The table: a line for each thing that must hold, with the reference of the same run.

In: numbers. Out: lines in Markdown, and whether all hold. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mails.turns import Taken

HEAD = "| what | kinto-notify | reference | ratio | must be | holds |\n|---|--:|--:|--:|--:|---|"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that must hold."""

    what: str
    ours: str
    reference: str
    ratio: str
    must: str
    holds: bool

    def __str__(self) -> str:
        verdict = ("yes" if self.holds else "**NO**") if self.must else ""
        cells = [self.what, self.ours, self.reference, self.ratio, self.must, verdict]
        return f"| {' | '.join(cells)} |"


def at_least(what: str, ours: float, named: str, reference: float, least: float, unit: str = "mails/s") -> Line:
    """Say that ours is so many times as fast."""
    ratio = ours / reference
    beside = f"{named}: {reference:,.0f} {unit}"
    return Line(what, f"{ours:,.0f} {unit}", beside, f"{ratio:.2f} x", f">= {least:g} x", ratio >= least)


def told(what: str, ours: float, named: str, reference: float, unit: str = "mails/s") -> Line:
    """Compare with a bound: nothing must hold."""
    return Line(what, f"{ours:,.0f} {unit}", f"{named}: {reference:,.0f} {unit}", f"{ours / reference:.2f} x", "", True)


def within(what: str, ours: float, named: str, reference: float, most: float, unit: str) -> Line:
    """Say that ours costs no more than so many times the reference."""
    ratio = ours / reference
    beside = f"{named}: {reference:,.1f} {unit}"
    return Line(what, f"{ours:,.1f} {unit}", beside, f"{ratio:.2f} x", f"<= {most:g} x", ratio <= most)


def below(what: str, ours: float, most: float, unit: str, *, places: int = 0) -> Line:
    """Say that ours is below a number."""
    return Line(what, f"{ours:,.{places}f} {unit}", "", "", f"< {most:g} {unit}", ours < most)


def standings(everyone: Sequence[Taken], unit: str = "mail") -> str:
    """Tell what everybody took."""
    head = f"| | {unit}s | {unit}s/s, median | least | most | processor a {unit} | and Redis' |\n|---|{'--:|' * 6}"
    lines = [
        f"| {one.by.title} | {one.work.units:,} | {one.rate:,.0f} | {min(one.rates):,.0f} | {max(one.rates):,.0f}"
        f" | {one.cpu_us:,.0f} µs | {one.redis_us:,.0f} µs |"
        for one in everyone
    ]
    return "\n".join([head, *lines])
