"""The sample mail that `check` composes and sends."""

from collections.abc import Sequence
from dataclasses import dataclass

from kinto_notify.address import Mailbox
from kinto_notify.compose.sample import sample_digest
from kinto_notify.compose.slot import filled
from kinto_notify.settings import Settings
from kinto_notify.stationery import composer_of
from kinto_notify.subscription import Subscription


@dataclass(frozen=True, slots=True)
class SampleMail:
    """A whole message with invented changes, and what the subscriptions ask of the composer in vain."""

    message: bytes
    doubts: tuple[str, ...]


def compose_sample(settings: Settings, recipient: Mailbox, subscriptions: Sequence[Subscription] = ()) -> SampleMail:
    """Compose for this recipient; `ConfigError` if a template cannot be used."""
    composer = composer_of(settings)
    digest = sample_digest()
    doubts = tuple(
        f'subscription "{one.presentation.name}": {problem}'
        for one in subscriptions
        for problem in composer.problems(one.presentation)
    )
    return SampleMail(filled(composer.headers(digest, recipient), composer.body(digest), digest.id), doubts)
