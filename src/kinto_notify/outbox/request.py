"""The HTTP request behind an event: its transaction, and what the notice says of it.

In: the request of an event, which in a batch is a sub-request's. Out: the outermost request's transaction, whether a
part of it was rolled back, and its `Origin`. Nothing here raises in a Kinto or Cliquet request.
"""

from typing import Any

import transaction
from transaction.interfaces import NoTransaction

from kinto_notify.outbox.capture import Origin

_MAX_AGENT = 500
_MAX_ROOTS = 32
#: The sort key of zope.sqlalchemy's data manager of one phase, which Kinto uses.
_DATABASE = "~sqlalchemy:"
#: What a URL is made of where the client does not say which host it means.
_PLACE = ("wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME")


def root_of(request: Any) -> Any:
    """Return the HTTP request that a batch's sub-request belongs to."""
    while getattr(request, "parent", None) is not None:
        request = request.parent
    return request


def manager_of(request: Any) -> Any:
    """Return the transaction manager of an outermost request."""
    manager = getattr(request, "tm", None)
    return manager if manager is not None else transaction.manager


def current(manager: Any) -> Any:
    """Return the manager's transaction; None where an explicit manager has none."""
    try:
        return manager.get()
    except NoTransaction:
        return None


def remember_begin(request: Any) -> None:
    """At a new request: keep the transaction it begins with, to see later whether a sub-request ended it."""
    if not hasattr(request, "parent"):
        request.__dict__["kinto_notify_began"] = current(manager_of(request))


def partly_rolled_back(request: Any, joined: Any) -> bool:
    """Tell whether a sub-request rolled back what was written before it: the transaction is another one then."""
    return request.__dict__.get("kinto_notify_began") is not joined


def stands(ended: Any) -> bool:
    """Tell of a transaction that somebody has failed in whether its change is there to stay all the same.

    Kinto's database sorts last and commits in its vote. Whoever fails after that, in a vote or in the finish, undoes
    nothing; nor can anybody where all have voted. `transaction` itself tells the others of an abort in both cases.
    """
    voted = getattr(ended, "_voted", None) or {}
    managers = list(getattr(ended, "_resources", None) or ())
    databases = [manager for manager in managers if str(manager.sortKey()).startswith(_DATABASE)]
    return bool(managers) and all(id(manager) in voted for manager in databases or managers)


def cut_off(error: BaseException | None) -> bool:
    """Tell whether a database's connection was lost: in a COMMIT, nobody knows what became of that."""
    # SQLAlchemy's word for it, which is not imported here.
    return getattr(error, "connection_invalidated", False) is True


def origin_of(request: Any, event_id: str) -> Origin:
    """Describe the HTTP request, always the same: all events of a batch tell one id, that of the first of them."""
    known: Origin | None = request.__dict__.get("kinto_notify_origin")
    if known is None:
        agent = str(request.environ.get("HTTP_USER_AGENT", ""))[:_MAX_AGENT]
        known = Origin(event_id, _root_url(request), str(request.client_addr or ""), agent)
        request.__dict__["kinto_notify_origin"] = known
    return known


def _root_url(request: Any) -> str:
    """Return the root URL as this client sees it; building it costs as much as encoding the event, so it is kept."""
    known: dict[tuple[Any, ...], str] = request.registry.__dict__.setdefault("kinto_notify_roots", {})
    environ = request.environ
    host = environ.get("HTTP_HOST")
    if host:
        key = environ.get("wsgi.url_scheme"), host, environ.get("SCRIPT_NAME")
    else:
        key = tuple([environ.get(name) for name in _PLACE])
    url = known.get(key)
    if url is None:
        try:
            url = str(request.route_url("hello"))
        except KeyError:
            url = f"{request.application_url}/"
        if len(known) >= _MAX_ROOTS:
            # The Host header is the client's.
            known.clear()
        known[key] = url
    return url
