"""Did you mean …? The known word that is nearest to a mistyped one.

Pure. Shared by everything that refuses unknown names, so that a suggestion reads the same everywhere.
"""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

#: What difflib itself takes for near.
_NEAR = 0.6


def nearest(
    word: str,
    known: Iterable[str],
    prefix: str = "",
    cutoff: float = _NEAR,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return `; did you mean X?`, or nothing where no known word is near; 1 is equal, 0 has no letter in common.

    `elsewhere` is what others call our words: one of its keys that is near means its value.
    """
    folded = {**{one.casefold(): ours for one, ours in elsewhere.items()}, **{one.casefold(): one for one in known}}
    found = difflib.get_close_matches(word.casefold(), folded, 1, cutoff)
    return f"; did you mean {prefix}{folded[found[0]]}?" if found else ""
