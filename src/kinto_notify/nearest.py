"""Did you mean …? The known word that is nearest to a mistyped one.

Pure. Shared by everything that refuses unknown names, so that a suggestion reads the same everywhere.
"""

import difflib
from collections.abc import Iterable, Mapping

#: What difflib itself takes for near.
_NEAR = 0.6


def nearest(word: str, known: Iterable[str], prefix: str = "", cutoff: float = _NEAR) -> str:
    """Return `; did you mean X?`, or nothing where no known word is near; 1 is equal, 0 has no letter in common.

    Where `known` is a mapping, its keys are compared and the value is what is meant.
    """
    meant = known if isinstance(known, Mapping) else {one: one for one in known}
    folded = {one.casefold(): other for one, other in meant.items()}
    found = difflib.get_close_matches(word.casefold(), folded, 1, cutoff)
    return f"; did you mean {prefix}{folded[found[0]]}?" if found else ""
