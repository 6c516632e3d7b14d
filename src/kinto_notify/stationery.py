"""Settings → what mails are written with.

In: the settings. Out: a `Composer`; `ConfigError` where a template or an address cannot be used.
"""

from collections.abc import Callable

from kinto_notify.compose.composer import Composer
from kinto_notify.settings import Settings


def composer_of(settings: Settings, on_fallback: Callable[[str, str], None] | None = None) -> Composer:
    """Make the composer; `on_fallback(template, reason)` hears of each thing that is replaced by the built-in one."""
    return Composer(
        sender=settings.sender,
        templates=settings.templates,
        zone=settings.timezone,
        admin_url=settings.admin_url,
        links=settings.links,
        on_fallback=on_fallback,
    )
