"""Subscriptions and events in few words, for tests of what matches."""

import json
from collections.abc import Mapping

from kinto_notify.catalogue import Catalogue
from kinto_notify.digest import DigestRules
from kinto_notify.event import Event, parse_event
from kinto_notify.hook import HookPolicy
from kinto_notify.hook_book import HookBook
from kinto_notify.subscription import FILE_HOME, Subscription
from kinto_notify.subscription_text import parse_subscription

JsonObject = Mapping[str, object]


def subscribe(home: str = FILE_HOME, **keys: object) -> Subscription:
    """Read one subscription as TOML would give it."""
    table = {"name": "one", "recipients": ["editors@example.org"], **keys}
    return parse_subscription(table, home=home, index=0, defaults=DigestRules())


def happened(*changes: JsonObject, action: str = "update", resource_name: str = "record", **data: object) -> Event:
    """Make an event of the collection blog/articles by account:alice."""
    listed = changes or ({"id": "r1", "old": {"title": "A"}, "new": {"title": "B"}},)
    known = {"bucket_id": "blog", "collection_id": "articles", "user_id": "account:alice", **data}
    body = {"action": action, "resource_name": resource_name, "changes": listed, **known}
    envelope = {"id": "1", "source": "http://localhost", "type": f"org.kinto-storage.{resource_name}.{action}"}
    return parse_event(json.dumps({**envelope, "data": body}))


def catalogue_of(*subscriptions: Subscription) -> Catalogue:
    """Make a catalogue of these; records and hooks may name addresses of example.org."""
    policy = HookPolicy(lambda mailbox: mailbox.domain == "example.org", lambda mailbox: False)
    return Catalogue(subscriptions, policy, HookBook(DigestRules(), policy))


def wants(subscription: Subscription, event: Event) -> bool:
    """Tell whether the subscription wants the event's first change."""
    return subscription.refuses(event, event.data.changes[0]) is None
