"""When the relays slow down, stop and begin again: a decision of what Redis says of itself."""

import pytest

from kinto_notify.pressure import MOST_UNFILED, Admission, Load, admit, load, rest

OPEN, SLOWED, HELD = Admission.OPEN, Admission.SLOWED, Admission.HELD


@pytest.mark.parametrize(
    ("before", "level", "after"),
    [
        (OPEN, 0.0, OPEN),
        (OPEN, 0.79, OPEN),
        (OPEN, 0.8, SLOWED),
        (OPEN, 0.9, HELD),
        (OPEN, 1.2, HELD),
        (SLOWED, 0.79, OPEN),
        (SLOWED, 0.85, SLOWED),
        (SLOWED, 0.9, HELD),
        # What was held begins again a little below where it was, and slowly: others may keep Redis at 86 % for good.
        (HELD, 0.95, HELD),
        (HELD, 0.89, HELD),
        (HELD, 0.87, HELD),
        (HELD, 0.86, SLOWED),
        (HELD, 0.8, SLOWED),
        (HELD, 0.79, OPEN),
    ],
)
def test_what_the_relay_may_do(before: Admission, level: float, after: Admission) -> None:
    assert admit(before, level) is after


def test_a_level_that_swings_around_a_line_makes_no_flutter() -> None:
    """Filing frees memory and publishing takes it: between two lines nothing changes, whatever the level does."""
    seen, now = [], OPEN
    for level in (0.7, 0.89, 0.91, 0.89, 0.91, 0.88, 0.89, 0.87, 0.9, 0.7, 0.79, 0.7):
        now = admit(now, level)
        seen.append(now)
    assert seen == [OPEN, SLOWED, *[HELD] * 7, *[OPEN] * 3]


@pytest.mark.parametrize(("level", "seconds"), [(0.0, 0), (0.8, 0), (0.81, 0.1), (0.85, 0.5), (0.9, 1), (1.5, 1)])
def test_the_rest_grows_towards_the_end(level: float, seconds: float) -> None:
    assert rest(level) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("found", "level", "text"),
    [
        (Load(850, 1000, 10), 0.85, "Redis uses 85% of its maxmemory"),
        (Load(100, 1000, MOST_UNFILED // 2), 0.5, "500,000 entries of the stream are not filed"),
        # Without a limit the stream's own bound is all there is.
        (Load(10**12, 0, 950_000), 0.95, "950,000 entries of the stream are not filed"),
        (Load(10**12, 0, 0), 0.0, "Redis uses 0% of its maxmemory"),
    ],
)
def test_what_is_nearer_to_its_end_counts(found: Load, level: float, text: str) -> None:
    assert found.level == pytest.approx(level)
    assert str(found) == text


@pytest.mark.parametrize(
    ("memory", "stream", "filed", "found"),
    [
        ({"used_memory": 900, "mem_not_counted_for_evict": 100, "maxmemory": 1000}, 30, 10, Load(800, 1000, 20)),
        # Whoever trims by hand leaves more ids of filed entries than entries.
        ({"used_memory": 900, "maxmemory": 0}, 5, 10, Load(900, 0, 0)),
        ({}, None, None, Load(0, 0, 0)),
    ],
)
def test_what_redis_says(memory: dict[str, object], stream: object, filed: object, found: Load) -> None:
    assert load(memory, stream, filed) == found
