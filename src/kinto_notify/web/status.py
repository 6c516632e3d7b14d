"""What the operator may look at: `/`, the status page, and `/preview/NAME`, a mail of a subscription.

In: a request. Out: a page, 401 or 403 for who is not admitted, 404 where there is no such subscription, 503 with the
reason while Redis does not answer. Only GET, and nothing is changed by it; one page at a time is gathered from Redis.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable

from aiohttp import web

from kinto_notify import __version__
from kinto_notify.catalogue import Catalogue
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import sample_for
from kinto_notify.errors import StoreUnavailable
from kinto_notify.masking import without_addresses
from kinto_notify.settings import Settings
from kinto_notify.store.client import Client
from kinto_notify.store.recent import recent
from kinto_notify.web import page
from kinto_notify.web.admission import admitted
from kinto_notify.web.rates import Rates
from kinto_notify.web.server import Handler

#: Sooner than a browser gives up, and a page that comes later than this tells nothing new.
PATIENCE_S = 5.0
_ALONE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
_STYLE_HASH = base64.b64encode(hashlib.sha256(page.STYLE.encode()).digest()).decode()
STYLE_POLICY = f"style-src 'sha256-{_STYLE_HASH}'; img-src data:"
_STATUS_POLICY = f"{_ALONE}{STYLE_POLICY}"
# The frame has this policy too: a mail is styled in place, and loads nothing either.
_PREVIEW_POLICY = f"{_ALONE}style-src 'unsafe-inline'; img-src data:"


class StatusPages:
    """The pages; `in_use` gives catalogue and composer as the last reload left them, `unready` why no mail can go."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        rates: Rates,
        *,
        in_use: Callable[[], tuple[Catalogue, Composer]],
        unready: Callable[[], list[str]],
    ) -> None:
        self._settings = settings
        self._client = client
        self._rates = rates
        self._in_use = in_use
        self._unready = unready
        self._gathering = asyncio.Lock()

    def handlers(self) -> dict[str, Handler]:
        """Return what answers which path."""
        return {"/": self.admitted(self._status), "/preview/{name:.+}": self.admitted(self._preview)}

    def admitted(self, handler: Handler) -> Handler:
        """Return the handler for those who may look."""

        async def ask(request: web.Request) -> web.StreamResponse:
            token = self._settings.admin_token
            if admitted(request.remote, request.headers, token):
                return await handler(request)
            if token is None:
                text = "this page is for this machine; KINTO_NOTIFY_ADMIN_TOKEN opens it to others\n"
                raise web.HTTPForbidden(text=text)
            challenge = {"WWW-Authenticate": 'Basic realm="kinto-notify", charset="UTF-8"'}
            raise web.HTTPUnauthorized(text="the token is the password; the user is anybody\n", headers=challenge)

        return ask

    def identities(self) -> set[str]:
        """Return the operator's subscriptions."""
        return {one.identity for one in self._in_use()[0].subscriptions}

    async def look(self) -> page.Status:
        """Gather what the pages tell; `StoreUnavailable` or `TimeoutError` where Redis does not answer."""
        settings = self._settings
        async with asyncio.timeout(PATIENCE_S), self._gathering:
            found = await recent(self._client)
        return page.Status(
            recent=found,
            subscriptions=self._in_use()[0].subscriptions,
            rates=self._rates,
            about=f"{__version__} · namespace {settings.namespace} · daemon {settings.name}",
            unready=self._unready(),
            zone=settings.timezone,
            masked=without_addresses,
        )

    async def _status(self, _: web.Request) -> web.Response:
        try:
            return answer(page.status_page(await self.look()), _STATUS_POLICY)
        except (StoreUnavailable, TimeoutError) as fault:
            return nothing_to_show(fault)

    async def _preview(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        catalogue, composer = self._in_use()
        for one in catalogue.subscriptions:
            if one.presentation.name == name:
                parts = composer.parts(sample_for(one))
                return answer(page.preview_page(name, parts), _PREVIEW_POLICY)
        raise web.HTTPNotFound(text="there is no such subscription\n")


def nothing_to_show(fault: Exception) -> web.Response:
    """Say that Redis does not answer."""
    text = f"There is nothing to show: {str(fault) or 'Redis does not answer'}"
    return answer(page.notice_page(text), _STATUS_POLICY, 503)


def answer(text: str, policy: str, status: int = 200) -> web.Response:
    """Return a page under its policy."""
    headers = {"Content-Security-Policy": policy}
    return web.Response(text=text, content_type="text/html", charset="utf-8", status=status, headers=headers)
