"""What a person calls a subscription → its identity. Fails with `BadInput` that names the nearest one."""

from typing import TYPE_CHECKING

from kinto_notify.errors import BadInput
from kinto_notify.nearest import nearest

if TYPE_CHECKING:
    from kinto_notify.settings import Settings


def identity_of(name: str, settings: "Settings") -> str:
    """Return the identity of a subscription of the operator's; what has a `#` is an identity, a hook's for one."""
    from kinto_notify.catalogue import load_catalogue

    known = {one.presentation.name: one.identity for one in load_catalogue(settings).subscriptions}
    if name in known:
        return known[name]
    if "#" in name:
        return name
    named = sorted(known)
    raise BadInput(f"there is no subscription {name!r}{nearest(name, named)}; there are: {', '.join(named) or 'none'}")
