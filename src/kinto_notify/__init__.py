"""Email notifications for Kinto.

Nothing is imported here: Kinto's process loads `kinto_notify.listener`, the daemon loads `kinto_notify.cli`,
and neither pays for the other.
"""

from typing import Any

__version__ = "0.1.0"


def includeme(config: Any) -> None:
    """Switch kinto-notify on with `kinto.includes = kinto_notify` (settings under `notify.`)."""
    from kinto_notify.listener import include

    include(config)
