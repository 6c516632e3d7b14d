"""A stand-in for a signer plug-in: it notifies an event class of its own when somebody asks for a review.

`kinto.includes = hooks.signer`; as the signer of remote-settings does, from a before-commit hook of the transaction.
"""

from typing import Any

import transaction
from kinto.core.events import ResourceChanged


class ReviewRequested:
    """As `kinto_remote_settings.signer.events.ReviewRequested`."""

    def __init__(self, request: Any, payload: dict[str, Any], impacted: list[dict[str, Any]], comment: str) -> None:
        self.request = request
        self.payload = payload
        self.impacted_objects = impacted
        self.comment = comment
        self.changes_count = 1


def _notify(event: Any) -> None:
    for one in event.impacted_objects:
        before, after = one["old"].get("status"), one["new"].get("status")
        if before != after == "to-review":
            comment = one["new"].get("last_editor_comment", "")
            review = ReviewRequested(event.request, event.payload, [one], comment)
            transaction.get().addBeforeCommitHook(event.request.registry.notify, args=(review,))


def includeme(config: Any) -> None:
    config.add_subscriber(_notify, ResourceChanged, for_actions=("update",), for_resources=("collection",))
