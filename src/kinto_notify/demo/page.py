"""The inbox as a page on loopback: a list, and each mail as HTML, text and source.

In: an open `Inbox`, and a command that a person may try. Out: server-side HTML that needs no JavaScript and loads
nothing from anywhere. Mails are hostile input: every value is escaped, and a mail's own HTML is a document of its own
in a sandboxed frame under a policy of its own. What is not there answers 404 with a page that leads back.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from types import TracebackType
from typing import Self

from aiohttp import web

from kinto_notify.demo.inbox import Inbox, InboxMail
from kinto_notify.web.markup import Html
from kinto_notify.web.markup import fill as fill_page

# Our pages: our style sheet and a frame from ourselves; no script, no form, nothing from elsewhere.
_POLICY = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
# A mail: its inline styles, and neither scripts, pictures from elsewhere nor our origin. A `srcdoc` frame would
# inherit the policy above, and show the mail without its styles.
_MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Another mail may have arrived since.
    "Cache-Control": "no-store",
}
# Soon enough to see mails come in, seldom enough to follow a line with the eye.
_REFRESH = 2
_TABS = (("html", "HTML"), ("text", "Text"), ("source", "Source"))


fill = partial(fill_page, "kinto_notify.demo")


class Page:
    """Serves one inbox on 127.0.0.1 while it is open (`async with`)."""

    def __init__(self, inbox: Inbox, port: int, hint: str) -> None:
        self.port = port
        self._inbox = inbox
        self._hint = hint
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[loopback_only, self._or_404])
        app.router.add_get("/", self._list)
        app.router.add_get("/style.css", self._style)
        app.router.add_get(r"/mails/{number:\d{1,9}}", self._mail)
        app.router.add_get(r"/mails/{number:\d{1,9}}/{tab:text|source}", self._mail)
        app.router.add_get(r"/mails/{number:\d{1,9}}/body", self._body)
        app.router.add_get(r"/mails/{number:\d{1,9}}.eml", self._download)
        # A browser keeps its connection open; nobody waits for it.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _list(self, request: web.Request) -> web.Response:
        mails = self._inbox.mails
        heading = f"{len(mails)} mail{'s' if len(mails) != 1 else ''}" if mails else "Nothing here yet"
        welcome = fill("welcome.html", heading=heading, hint=self._hint)
        refresh = Html(f'<meta http-equiv="refresh" content="{_REFRESH}">')
        return self._page("Inbox", "list" if mails else "list empty", welcome, 0, refresh)

    async def _mail(self, request: web.Request) -> web.Response:
        mail = self._wanted(request)
        tab = request.match_info.get("tab", "html")
        if tab == "html" and mail.html:
            body = fill("frame.html", number=mail.number)
        elif tab == "source":
            body = fill("source.html", number=mail.number, source=_readable(mail.source))
        else:
            tab = "text"
            body = fill("text.html", text=mail.text or "(this mail has no text)")
        shown = fill(
            "mail.html",
            subject=mail.subject or "(no subject)",
            sender=mail.sender,
            to=mail.to,
            date=mail.date or mail.received.isoformat(" ", "seconds"),
            tabs=_tabs(mail, tab),
            body=body,
        )
        return self._page(mail.subject, "mail", shown, mail.number, Html())

    async def _body(self, request: web.Request) -> web.Response:
        mail = self._wanted(request)
        return _answer(mail.html, "text/html", _MAIL_POLICY)

    async def _download(self, request: web.Request) -> web.Response:
        mail = self._wanted(request)
        headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="mail-{mail.number}.eml"'}
        return web.Response(body=mail.source, content_type="message/rfc822", headers=headers)

    async def _style(self, request: web.Request) -> web.Response:
        sheet = files("kinto_notify.demo").joinpath("pages", "style.css").read_text("utf-8")
        return _answer(sheet, "text/css", _POLICY)

    def _wanted(self, request: web.Request) -> InboxMail:
        mail = self._inbox.get(int(request.match_info["number"]))
        if mail is None:
            raise web.HTTPNotFound
        return mail

    def _page(
        self, title: str, view: str, content: Html, chosen: int, refresh: Html, status: int = 200
    ) -> web.Response:
        rows = Html("".join(_row(mail, mail.number == chosen) for mail in self._inbox.mails))
        shell = fill("shell.html", title=title, view=view, rows=rows, content=content, refresh=refresh)
        return _answer(shell, "text/html", _POLICY, status)

    @web.middleware
    async def _or_404(self, request: web.Request, handler: "_Handler") -> web.StreamResponse:
        """Answer what is not there with a page that leads back to the list."""
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return self._page("Not here", "mail", fill("missing.html"), 0, Html(), status=404)


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def loopback_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse other host names: a web page elsewhere whose name was turned to 127.0.0.1 must not read the mails."""
    host = request.url.host or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    if not local:
        return _answer("This page answers on loopback only.\n", "text/plain", _POLICY, 421)
    return await handler(request)


def _answer(text: str, kind: str, policy: str, status: int = 200) -> web.Response:
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    return web.Response(text=text, content_type=kind, charset="utf-8", status=status, headers=headers)


def _row(mail: InboxMail, chosen: bool) -> Html:
    # The name where there is one; what stands in angle brackets is for the mail itself.
    name = mail.sender.partition("<")[0].strip(' "') or mail.sender
    # A digest begins with its totals, which stand in the subject already.
    lines = (line.strip() for line in mail.text.splitlines())
    opening = " ".join(line for line in lines if line and line not in mail.subject)[:160]
    return fill(
        "row.html",
        number=mail.number,
        current=Html(' aria-current="page"') if chosen else Html(),
        sender=name,
        subject=mail.subject or "(no subject)",
        opening=opening,
        time=mail.received.astimezone().strftime("%H:%M:%S"),
        moment=mail.received.isoformat(),
    )


def _tabs(mail: InboxMail, chosen: str) -> Html:
    links = []
    for tab, label in _TABS:
        if tab == "html" and not mail.html:
            continue
        address = f"/mails/{mail.number}" + ("" if tab == "html" else f"/{tab}")
        current = Html(' aria-current="page"') if tab == chosen else Html()
        links.append(fill("tab.html", address=address, label=label, current=current))
    return Html("".join(links))


def _readable(source: bytes) -> str:
    return source.decode("utf-8", "replace").replace("\r\n", "\n")
