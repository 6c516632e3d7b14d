"""The daemon's own HTTP server on `WEB_BIND`: `/healthz`, `/readyz`, `/metrics`, and the pages it is given.

It takes no signals (they are the daemon's) and limits what a client may send. Monitors may call it by any name, as they
do where it runs in a container: what they read names nobody and no bucket, and changes nothing. Whatever else it serves
answers to names of this machine and to addresses only: a page elsewhere must not reach it through a rebound name. Under
the host of `PUBLIC_URL` there are `/healthz` and the pages of recipients, `/u/`, and nothing else.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

from aiohttp import web

from kinto_notify.errors import ConfigError
from kinto_notify.inbox_link import PATH
from kinto_notify.web.inbox import InboxPages

#: What monitors read. A page elsewhere that rebinds its name to us learns from them how much mail there is, no more.
_FOR_MONITORS = frozenset({"/healthz", "/readyz", "/metrics"})
#: What the world may read.
_PUBLIC = frozenset({"/healthz"})
#: A client that sends nothing is let go after so long (slowloris).
_IDLE_S = 5.0
_MAX_BODY = 8 * 1024
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@]+)(?::[0-9]*)?\Z")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer:
    """Serves until it is closed.

    `stalled` names rooms that do not move; `unready` says why no mail could be sent now, a line for each reason;
    `metrics` gives the exposition. `public_host` is the host of `PUBLIC_URL`. `pages` are what else answers to GET,
    `acts` what answers to POST, `inbox` the pages of recipients.
    """

    def __init__(
        self,
        bind: tuple[str, int],
        *,
        stalled: Callable[[], list[str]],
        unready: Callable[[], list[str]],
        metrics: Callable[[], bytes],
        public_host: str | None = None,
        pages: Mapping[str, Handler] | None = None,
        acts: Mapping[str, Handler] | None = None,
        inbox: InboxPages | None = None,
    ) -> None:
        self._bind = bind
        self._stalled = stalled
        self._unready = unready
        self._metrics = metrics
        self._public_host = public_host.lower() if public_host else None
        self._names = frozenset(name.lower() for name in ("localhost", socket.gethostname(), bind[0]))
        application = web.Application(client_max_size=_MAX_BODY, middlewares=[self._guard])
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        application.router.add_get("/metrics", self._exposition)
        for path, handler in (pages or {}).items():
            application.router.add_get(path, handler)
        for path, handler in (acts or {}).items():
            application.router.add_post(path, handler)
        if inbox is not None:
            inbox.add_to(application.router)
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=_IDLE_S,
            shutdown_timeout=1.0,
            # No form of ours is compressed; unpacking what only says so fails where no handler can answer.
            auto_decompress=False,
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        host, port = self._bind
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as fault:
            await self._runner.cleanup()
            raise ConfigError(f"KINTO_NOTIFY_WEB_BIND: cannot listen on {host}:{port}: {fault.strerror}") from fault
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        stalled = self._stalled()
        if stalled:
            return web.Response(status=503, text=f"stalled: {', '.join(stalled)}\n")
        return web.Response(text="ok\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        reasons = self._unready()
        return web.Response(status=503 if reasons else 200, text="".join(f"{one}\n" for one in reasons or ["ready"]))

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse foreign host names, and put the same headers on every answer."""
        # Not `request.host`: without the header it asks the DNS, and waits for it. No browser leaves it out.
        host = request.headers.get("Host")
        if host is not None and not self._answers(host, request.path):
            raise web.HTTPMisdirectedRequest(text="this server answers to its address only\n", headers=_HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            answer.headers.update(_HEADERS)
            raise
        for name, value in _HEADERS.items():
            # A page may have a policy of its own.
            response.headers.setdefault(name, value)
        return response

    def _answers(self, host: str, path: str) -> bool:
        """Tell whether a path may be read under a `Host`."""
        found = _HOST.match(host)
        name = found[1].strip("[]").lower() if found else ""
        if name == self._public_host:
            return path in _PUBLIC or path.startswith(PATH)
        return path in _FOR_MONITORS or self._own(name)

    def _own(self, name: str) -> bool:
        """Tell whether a name is this machine's, or is an address, which no page elsewhere can rebind."""
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
