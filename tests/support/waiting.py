"""Wait for a condition instead of a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], limit: float = 30.0) -> T:
    """Poll until `condition()` is true, and return what it gave; fail after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {limit:.0f} s in vain"
        time.sleep(0.02)
    return found
