"""Times on the command line: ISO 8601, or a duration ago; and how we show them.

In: what follows `--since`. Out: a time in UTC. What can't be read, or lies ahead, is argparse's own kind of error.
"""

import argparse
from datetime import UTC, datetime, timedelta

from kinto_notify.duration import parse_duration


def parse_since(text: str) -> datetime:
    """Return the time that ISO 8601 or a duration ago means, in UTC."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - timedelta(milliseconds=parse_duration(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"neither a time such as 2026-11-23T08:00Z nor a duration: {error}"
            ) from None
    then = (then if then.tzinfo is not None else then.replace(tzinfo=UTC)).astimezone(UTC)
    if then > datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text} has not been yet")
    return then


def shown_moment(moment: int) -> str:
    """Write a time in milliseconds, in UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
