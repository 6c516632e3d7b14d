"""Values that never leave Kinto's process: a JSON pointer's value is replaced by a marker.

In: an object and the pointers of the setting `redact`. Out: the object, copied only along the pointers that are
there. Never fails.
"""

from collections.abc import Sequence
from typing import Any

from kinto_notify.wire import REDACTED


def redacted(value: Any, pointers: Sequence[Sequence[str]]) -> Any:
    """Return `value` with what each pointer names replaced by the marker; `value` itself is never changed."""
    for pointer in pointers:
        value = _replace(value, pointer)
    return value


def _replace(value: Any, steps: Sequence[str]) -> Any:
    if not steps:
        return REDACTED
    step = steps[0]
    if isinstance(value, dict) and step in value:
        return {**value, step: _replace(value[step], steps[1:])}
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        at = int(step)
        return [*value[:at], _replace(value[at], steps[1:]), *value[at + 1 :]]
    return value
