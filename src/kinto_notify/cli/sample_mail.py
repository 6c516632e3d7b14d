"""The sample mail that `check` composes and sends."""

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import sample_digest
from kinto_notify.settings import Settings


def compose_sample(settings: Settings, recipient: Mailbox) -> bytes:
    """Return a whole message with invented changes; `ConfigError` if a template cannot be used."""
    composer = Composer(
        sender=settings.sender, templates=settings.templates, zone=settings.timezone, admin_url=settings.admin_url
    )
    digest = sample_digest()
    return composer.headers(digest, recipient) + composer.body(digest)
