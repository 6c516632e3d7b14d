"""The HTTP request behind an event: its transaction, and what the notice says of it.

In: the request of an event, which in a batch is a sub-request's. Out: the outermost request's transaction, whether a
part of it was rolled back, and its `Origin`. Nothing here raises in a Kinto or Cliquet request.
"""

from typing import Any

from kinto_notify import wire
from kinto_notify.outbox.capture import Origin

_MAX_AGENT = 500


def root_of(request: Any) -> Any:
    """Return the HTTP request that a batch's sub-request belongs to."""
    while getattr(request, "parent", None) is not None:
        request = request.parent
    return request


def manager_of(request: Any) -> Any:
    """Return the transaction manager of an outermost request."""
    manager = getattr(request, "tm", None)
    if manager is not None:
        return manager
    import transaction

    return transaction.manager


def current(manager: Any) -> Any:
    """Return the manager's transaction; None where an explicit manager has none."""
    from transaction.interfaces import NoTransaction

    try:
        return manager.get()
    except NoTransaction:
        return None


def remember_begin(request: Any) -> None:
    """At a new request: keep the transaction it begins with, to see later whether a sub-request ended it."""
    if not hasattr(request, "parent"):
        request.kinto_notify_began = current(manager_of(request))


def partly_rolled_back(request: Any, transaction: Any) -> bool:
    """Tell whether a sub-request rolled back what was written before it: the transaction is another one then."""
    return getattr(request, "kinto_notify_began", None) is not transaction


def origin_of(request: Any) -> Origin:
    """Describe the HTTP request, always the same: all events of a batch tell one id."""
    known: Origin | None = request.__dict__.get("kinto_notify_origin")
    if known is None:
        agent = (request.headers.get("User-Agent") or "")[:_MAX_AGENT]
        known = Origin(wire.new_id(), _root_url(request), str(request.client_addr or ""), agent)
        request.__dict__["kinto_notify_origin"] = known
    return known


def _root_url(request: Any) -> str:
    try:
        return str(request.route_url("hello"))
    except KeyError:
        return f"{request.application_url}/"
