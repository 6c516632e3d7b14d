"""Metadata of buckets and collections, checked before Kinto stores it; only with `hooks = true`.

In: Kinto's `ResourceChanged` of a bucket or collection. Out: nothing, or the 400 that Kinto itself answers to a wrong
body, with every fault of the hooks in it. kinto-emailer's own refusals are told in its words.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from pyramid.events import ApplicationCreated

from kinto_notify.errors import ConfigError
from kinto_notify.outbox.capture import impacted_of

#: Kinto's root page tells what is there; kinto-emailer's name, for those who look for it.
_CAPABILITIES = {
    "notify": (
        "Email notifications of changes, by hooks in the metadata of buckets and collections.",
        "https://pypi.org/project/kinto-notify/",
    ),
    "emailer": ("Provide emailing capabilities to the server.", "https://github.com/Kinto/kinto-emailer/"),
}


def switch_on(config: Any, setting: str) -> None:
    """Check hooks from now on, and announce it; once for an application, however often it is asked.

    Raises `ConfigError` if what reads hooks is not installed, or there is nothing that could hold any.
    """
    changed = _changed_event(config)
    if changed is None:
        raise ConfigError(f"{setting}: true needs Kinto: in Cliquet there is no metadata that could hold hooks")
    try:
        check = importlib.import_module("kinto_notify.hook_check").check_metadata
    except ImportError as fault:
        raise ConfigError(
            f"{setting}: true needs more in Kinto's environment: pip install 'kinto-notify[hooks]' ({fault})"
        ) from None
    if getattr(config.registry, "kinto_notify_hooks", False):
        return
    config.registry.kinto_notify_hooks = True
    config.add_subscriber(
        lambda event: _validate(event, check),
        changed,
        for_actions=("create", "update"),
        for_resources=("bucket", "collection"),
    )
    config.add_subscriber(_announce, ApplicationCreated)


def _changed_event(config: Any) -> Any:
    """Return Kinto's `ResourceChanged`, None if the application is one of Cliquet's."""
    if type(getattr(config.registry, "storage", None)).__module__.startswith("cliquet."):
        return None
    try:
        return importlib.import_module("kinto.core.events").ResourceChanged
    except ImportError:
        return None


def _announce(event: Any) -> None:
    # Not before all is included: kinto-emailer itself may be there still, for the time of a move, and Kinto refuses to
    # start where one capability is announced twice.
    capabilities = event.app.registry.api_capabilities
    for name, (description, url) in _CAPABILITIES.items():
        capabilities.setdefault(name, {"description": description, "url": url})


def _validate(event: Any, check: Any) -> None:
    """Refuse the write if its hooks are wrong: raises `HTTPBadRequest`."""
    payload = event.payload
    for item in impacted_of(event):
        stored: Mapping[str, Any] = item.get("new") or {}
        if payload.get("resource_name") == "bucket":
            home = f"/buckets/{stored.get('id')}"
        else:
            home = f"/buckets/{payload.get('bucket_id')}/collections/{stored.get('id')}"
        faults = check(stored, home).lines
        if faults:
            errors = importlib.import_module("kinto.core.errors")
            for fault in faults[:-1]:
                event.request.errors.add("body", None, fault)
            errors.raise_invalid(event.request, description=faults[-1])
