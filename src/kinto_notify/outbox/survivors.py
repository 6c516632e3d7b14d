"""Which changes of a batch request are still there after sub-requests were rolled back.

A sub-request that answers 409 aborts Kinto's transaction, yet the batch goes on, and the events tell of all its
sub-requests. In: the changes in the order of the events, and what storage holds now, in this transaction. Out: the
positions of those that survived. Pure; never fails.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Version:
    """A change as storage sees it: `after` is the `last_modified` it gave the object, `before` what it had."""

    key: Hashable
    after: int | None
    before: int | None


def surviving(versions: Sequence[Version], now: Mapping[Hashable, int | None]) -> set[int]:
    """Return the positions of the changes that storage confirms.

    `now` has each object's `last_modified`, live or tombstone, None where there is neither. What `now` does not
    know at all survives: an unneeded notice is better than a lost one.
    """
    survivors: set[int] = set()
    by_key: dict[Hashable, list[int]] = {}
    for position, version in enumerate(versions):
        if version.key in now:
            by_key.setdefault(version.key, []).append(position)
        else:
            survivors.add(position)
    for key, positions in by_key.items():
        survivors.update(_chain(versions, positions, now[key]))
    return survivors


def _chain(versions: Sequence[Version], positions: list[int], current: int | None) -> list[int]:
    """Walk back from what storage holds: the change that made it, the one that made what that one found, ..."""
    left = list(positions)
    found: list[int] = []
    while current is not None:
        matches = [p for p in reversed(left) if versions[p].after == current]
        if not matches:
            return found
        # One that changed nothing (a patch that alters no field) keeps the time it found: it comes before the maker.
        match = next((p for p in matches if versions[p].before == current), matches[0])
        left.remove(match)
        found.append(match)
        current = versions[match].before
        if current is None:
            # A create found nothing, or a tombstone, which it does not tell: then the newest older change made that.
            older = [versions[p].after for p in left]
            made = versions[match].after
            current = max((a for a in older if a is not None and made is not None and a < made), default=None)
    return found
