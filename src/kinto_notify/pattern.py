"""The words of a filter: `exact`, `^regex`, `!negated`, or a list of these (design: subscriptions).

Pure, but for the time a regular expression may take: each match has a limit, since whoever may write a collection may
write a hook, and `^(a+)+$` on 28 characters runs for seconds in the standard library.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import regex

#: A catastrophic pattern is cut off here; a sane one takes microseconds.
MATCH_TIMEOUT_S = 0.05
#: Longer ones are a mistake or an attack.
MAX_PATTERN_LENGTH = 200
#: Nested counts are multiplied out when a pattern is compiled: `^((a{99}){99}){99}` takes half a second.
_MAX_REPEATS = 10_000
_COUNTED = re.compile(r"\{(\d*),?(\d*)\}")


class PatternTimeout(Exception):
    """A pattern took longer than its limit on one value."""


#: A pattern that calls itself, `^(?R)`, takes 35 MB before it fails.
_RECURSIVE = re.compile(r"\(\?(?:R|[-+]?\d|&|P>)")


@dataclass(frozen=True, slots=True)
class Word:
    """One allowed (or, negated, one forbidden) value of a filter word."""

    text: str
    negated: bool
    literal: str
    compiled: "regex.Pattern[str] | None" = field(default=None, compare=False, repr=False)

    def matches(self, value: str) -> bool:
        """Tell whether the value is this word, negation left aside; `PatternTimeout` if that can't be told in time."""
        if self.compiled is None:
            return value == self.literal
        try:
            return self.compiled.match(value, timeout=MATCH_TIMEOUT_S) is not None
        except TimeoutError:
            raise PatternTimeout(f"pattern {self.text!r} took more than {MATCH_TIMEOUT_S * 1000:.0f} ms") from None


@dataclass(frozen=True, slots=True)
class Filter:
    """A list of words: it holds when any positive one matches (if there are any) and no negated one does."""

    words: tuple[Word, ...]

    def holds(self, value: str | None) -> bool:
        """Apply to a value; None (the change has no such word) fails a positive filter and passes a negated one."""
        positive = False
        wanted = False
        for word in self.words:
            if word.negated:
                if value is not None and word.matches(value):
                    return False
            else:
                wanted = True
                positive = positive or (value is not None and word.matches(value))
        return positive or not wanted


def parse_word(text: str) -> Word:
    """Read one word; `ValueError` with the reason if its pattern is too long or not a regular expression."""
    negated = text.startswith("!")
    literal = text[1:] if negated else text
    if not literal.startswith("^"):
        return Word(text, negated, literal)
    if len(literal) > MAX_PATTERN_LENGTH:
        raise ValueError(f"pattern of {len(literal)} characters: at most {MAX_PATTERN_LENGTH}")
    if math.prod(max(int(low or 1), int(high or 1), 1) for low, high in _COUNTED.findall(literal)) > _MAX_REPEATS:
        raise ValueError(f"{text!r}: its repeat counts multiply to more than {_MAX_REPEATS:,}")
    if _RECURSIVE.search(literal):
        raise ValueError(f"{text!r}: a pattern does not call itself or its groups")
    try:
        return Word(text, negated, literal, regex.compile(literal))
    except regex.error as fault:
        raise ValueError(f"{text!r} is not a regular expression: {fault}") from None


def parse_filter(words: str | Sequence[str]) -> Filter:
    """Read a filter from a string or a list of strings; `ValueError` as `parse_word`, or if the list is empty."""
    listed = [words] if isinstance(words, str) else list(words)
    if not listed:
        raise ValueError("an empty list matches nothing; leave the key out to match everything")
    return Filter(tuple(parse_word(word) for word in listed))
