"""Which changes of a batch survived, told by what storage holds."""

import pytest

from kinto_notify.outbox.survivors import Version, surviving

V = Version


@pytest.mark.parametrize(
    ("versions", "now", "expected"),
    [
        pytest.param([V("a", 1, None)], {"a": 1}, {0}, id="created"),
        pytest.param([V("a", 1, None)], {"a": None}, set(), id="created, rolled back"),
        pytest.param([V("a", 5, 3)], {"a": 3}, set(), id="updated, rolled back"),
        pytest.param([V("a", 5, 3)], {"a": 5}, {0}, id="updated"),
        pytest.param([V("a", 1, None), V("a", 2, 1), V("a", 3, 2)], {"a": 3}, {0, 1, 2}, id="a whole chain"),
        pytest.param([V("a", 2, 1), V("a", 3, 1)], {"a": 3}, {1}, id="the first of two rolled back"),
        pytest.param([V("a", 2, 1), V("a", 3, 1), V("a", 4, 3)], {"a": 4}, {1, 2}, id="the chain after the 409"),
        pytest.param([V("a", 3, 1), V("a", 2, None)], {"a": 2}, {1}, id="other object's time"),
        pytest.param([V("a", 3, 2), V("a", 2, 1)], {"a": 3}, {0, 1}, id="events out of order"),
        pytest.param([V("a", 2, 1), V("a", 3, None)], {"a": 3}, {0, 1}, id="deleted, then created again"),
        pytest.param([V("a", 2, 2), V("a", 2, 1)], {"a": 2}, {0, 1}, id="a patch that changed nothing"),
        pytest.param([V("a", 1, None), V("b", 1, None)], {"a": None, "b": 1}, {1}, id="two objects"),
        pytest.param([V("a", None, None), V("b", 9, None)], {}, {0, 1}, id="storage can't be asked"),
    ],
)
def test_survivors(versions: list[Version], now: dict[object, int | None], expected: set[int]) -> None:
    assert surviving(versions, now) == expected
