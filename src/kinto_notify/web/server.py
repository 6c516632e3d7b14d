"""The daemon's own HTTP server: `/healthz` and `/metrics` on `WEB_BIND`.

It takes no signals (they are the daemon's), answers only names of this machine and addresses (a page elsewhere must
not reach it through a rebound name), and limits what a client may send.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from kinto_notify.errors import ConfigError

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
    """Serves until it is closed. `stalled` names rooms that do not move, `metrics` gives the exposition."""

    def __init__(
        self, bind: tuple[str, int], *, stalled: Callable[[], list[str]], metrics: Callable[[], bytes]
    ) -> None:
        self._bind = bind
        self._stalled = stalled
        self._metrics = metrics
        self._names = frozenset(name.lower() for name in ("localhost", socket.gethostname(), bind[0]))
        application = web.Application(client_max_size=_MAX_BODY, middlewares=[self._guard])
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/metrics", self._exposition)
        self._runner = web.AppRunner(
            application, handle_signals=False, access_log=None, keepalive_timeout=_IDLE_S, shutdown_timeout=1.0
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

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse foreign host names, and put the same headers on every answer."""
        # Not `request.host`: without the header it asks the DNS, and waits for it. No browser leaves it out.
        host = request.headers.get("Host")
        if host is not None and not self._own(host):
            raise web.HTTPMisdirectedRequest(text="this server answers to its address only\n", headers=_HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            answer.headers.update(_HEADERS)
            raise
        response.headers.update(_HEADERS)
        return response

    def _own(self, host: str) -> bool:
        """Tell whether a `Host` names this machine, or is an address, which no page elsewhere can rebind."""
        found = _HOST.match(host)
        name = found[1].strip("[]") if found else ""
        if name.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
