"""The HTTP request behind an event: its transaction, and what the notice says of it.

In: the request of an event, which in a batch is a sub-request's. Out: the outermost request's transaction, whether a
part of it was rolled back, and its `Origin`. Nothing here raises in a Kinto or Cliquet request.
"""

import logging
import weakref
from collections.abc import Mapping
from typing import Any

import transaction
from transaction.interfaces import NoTransaction

from kinto_notify.outbox.capture import Origin, new

logger = logging.getLogger(__name__)

_MAX_AGENT = 500
_MAX_ROOTS = 32
#: The sort key of zope.sqlalchemy's data manager of one phase, which Kinto uses.
_DATABASE = "~sqlalchemy:"


def root_of(request: Any) -> Any:
    """Return the HTTP request that a batch's sub-request belongs to."""
    parent = getattr(request, "parent", None)
    return request if parent is None else root_of(parent)


def transaction_of(request: Any) -> tuple[Any, Any]:
    """Return an outermost request's transaction manager, and its transaction: None where an explicit one has none."""
    manager = getattr(request, "tm", None)
    if manager is None:
        manager = transaction.manager
    try:
        return manager, manager.get()
    except NoTransaction:
        return manager, None


def remember_begin(request: Any) -> None:
    """At a new request: remember the transaction it begins with, to see later whether a sub-request ended it.

    Requests are garbage of the cyclic kind: a transaction that one held on to would wait for the collector with it.
    """
    if not hasattr(request, "parent"):
        began = transaction_of(request)[1]
        request.__dict__["kinto_notify_began"] = weakref.ref(began) if began is not None else None


def own_of(request: Any) -> dict[str, Any]:
    """Return where a request keeps what is its own; a place that nobody keeps where it has none, or there is none."""
    own = getattr(request, "__dict__", None)
    return own if type(own) is dict else {}


def partly_rolled_back(own: Mapping[str, Any], joined: Any) -> bool:
    """Tell whether a sub-request rolled back what was written before it: the transaction is another one then."""
    if not own:
        # No request: nobody rolled back a part of it.
        return False
    began = own.get("kinto_notify_began")
    return began is None or began() is not joined


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
    own = own_of(request)
    known: Origin | None = own.get("kinto_notify_origin")
    if known is None:
        try:
            own["kinto_notify_origin"] = known = _origin(request, event_id)
        except Exception:
            # An event of somebody else's, with half a request or none. What has changed matters more than from where.
            logger.warning("kinto-notify: an event has no whole request; it is notified without", exc_info=True)
            return Origin(event_id, "", "", "")
    return known


def _origin(request: Any, event_id: str) -> Origin:
    environ = request.environ
    # Building it costs as much as encoding the event, so it is kept.
    roots = request.registry.__dict__.setdefault("kinto_notify_roots", {})
    host = environ.get("HTTP_HOST") or (environ.get("SERVER_NAME"), environ.get("SERVER_PORT"))
    place = environ.get("wsgi.url_scheme"), host, environ.get("SCRIPT_NAME")
    url = roots.get(place) or _root_url(request, place, roots)
    agent = environ.get("HTTP_USER_AGENT", "")[:_MAX_AGENT]
    return new(Origin, (event_id, url, request.client_addr or "", agent))


def _root_url(request: Any, place: tuple[Any, ...], roots: dict[tuple[Any, ...], str]) -> str:
    """Return the root URL as this client sees it."""
    try:
        url = str(request.route_url("hello"))
    except KeyError:
        url = f"{request.application_url}/"
    if len(roots) >= _MAX_ROOTS:
        # The Host header is the client's.
        roots.clear()
    roots[place] = url
    return url
