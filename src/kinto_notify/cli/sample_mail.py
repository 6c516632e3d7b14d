"""The composer of the commands, and the sample mail that `check` composes and sends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import sample_digest
from kinto_notify.settings import Settings
from kinto_notify.subscription import Subscription


@dataclass(frozen=True, slots=True)
class SampleMail:
    """A whole message with invented changes, and what the subscriptions ask of the composer in vain."""

    message: bytes
    doubts: tuple[str, ...]


def composer_of(settings: Settings, on_fallback: Callable[[str, str], None] | None = None) -> Composer:
    """Return what composes in the daemon; `ConfigError` if a template cannot be used."""
    return Composer(
        sender=settings.sender,
        templates=settings.templates,
        zone=settings.timezone,
        admin_url=settings.admin_url,
        on_fallback=on_fallback,
    )


def compose_sample(settings: Settings, recipient: Mailbox, subscriptions: Sequence[Subscription] = ()) -> SampleMail:
    """Compose for this recipient; `ConfigError` if a template cannot be used."""
    composer = composer_of(settings)
    digest = sample_digest()
    doubts = tuple(
        f'subscription "{one.presentation.name}": {problem}'
        for one in subscriptions
        for problem in composer.problems(one.presentation)
    )
    return SampleMail(composer.headers(digest, recipient) + composer.body(digest), doubts)
