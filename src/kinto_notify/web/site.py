"""The daemon's whole web site, put together: what monitors read, the operator's pages, and those of recipients.

In: the settings and the rooms' own words. Out: a server to be entered, or nothing where `WEB_BIND` is off.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from urllib.parse import urlsplit

from kinto_notify.catalogue import Catalogue
from kinto_notify.compose.composer import Composer
from kinto_notify.settings import Settings
from kinto_notify.store.client import Client
from kinto_notify.store.preferences import Preferences
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.acts import ActPages
from kinto_notify.web.inbox import InboxPages
from kinto_notify.web.rates import Rates
from kinto_notify.web.server import WebServer
from kinto_notify.web.status import StatusPages


def site(
    settings: Settings,
    client: Client,
    telemetry: Telemetry,
    rates: Rates,
    *,
    stalled: Callable[[], list[str]],
    unready: Callable[[], list[str]],
    in_use: Callable[[], tuple[Catalogue, Composer]],
) -> AbstractAsyncContextManager[object]:
    """Return the site; `in_use` gives what the last reload left."""
    if settings.web_bind is None:
        return nullcontext()
    pages = StatusPages(settings, client, rates, in_use=in_use, unready=unready)
    acts = ActPages(pages, settings, client, telemetry)
    return WebServer(
        settings.web_bind,
        stalled=stalled,
        unready=unready,
        metrics=telemetry.exposition,
        public_host=urlsplit(settings.public_url or "").hostname,
        inbox=InboxPages(settings.links, Preferences(client), telemetry) if settings.links else None,
        pages={**pages.handlers(), **acts.handlers()},
        acts=acts.posts(),
    )
