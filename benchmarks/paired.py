"""How much more one takes than another, told from turns that they took side by side.

In: of each turn what one took and what the other did. Out: the median of the ratios, and between which two of them it
lies, with 95 % certainty. What else the machine does in a turn slows both, and falls out; a turn that hit only one is
one ratio of many. Pure.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: Of the normal distribution, to both sides: the ranks around the median of n draws that hold it in 95 of 100 cases.
_CERTAIN = 1.96


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio, and the interval that it was measured to."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.median >= 2:
            return f"×{self.median:.0f}"
        return f"{self.median - 1:+.1%} ({self.low - 1:+.1%} to {self.high - 1:+.1%})"


def ratio(own: Sequence[float], others: Sequence[float]) -> Ratio:
    """Compare turn by turn."""
    ratios = sorted(one / other for one, other in zip(own, others, strict=True))
    middle, reach = len(ratios) / 2, _CERTAIN * math.sqrt(len(ratios)) / 2
    low = max(0, math.floor(middle - reach))
    high = min(len(ratios) - 1, math.ceil(middle + reach))
    return Ratio(statistics.median(ratios), ratios[low], ratios[high])
