"""`/u/TOKEN`: where recipients rule what comes to them. GET shows, POST acts, whoever has the link may.

In: a token, and of a form `act`, or `List-Unsubscribe=One-Click` (RFC 8058), which mail programs send by themselves.
Out: a page, or a word for a program. A GET changes nothing: scanners follow links. All bad tokens get one answer.
503 when Redis does not answer. No cookie, no login: the token is the right, so that no other site can use it.
"""

import time
from collections import Counter

from aiohttp import web

from kinto_notify.errors import StoreUnavailable
from kinto_notify.inbox_link import PATH, InboxLinks, Right
from kinto_notify.store.client import RefusedByRedis
from kinto_notify.store.preferences import Act, Kept, Preferences
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.form import fields_of
from kinto_notify.web.inbox_page import NOT_NOW, NOT_UNDERSTOOD, NOT_VALID, POLICY, TOO_OFTEN, inbox_page, notice
from kinto_notify.wish import DAY_MS, WEEK_MS

#: Of one link in a minute, by this daemon: a person needs ten.
_MOST = 30
_MINUTE_S = 60.0
_ACTS: dict[str, tuple[Act, int]] = {
    "unsubscribe": ("off", 0),
    "resubscribe": ("on", 0),
    "daily": ("daily", 0),
    "mute-day": ("mute", DAY_MS),
    "mute-week": ("mute", WEEK_MS),
}
_HEADERS = {"Content-Security-Policy": POLICY, "X-Robots-Tag": "noindex, nofollow"}


class InboxPages:
    """Answers under `/u/`."""

    def __init__(self, links: InboxLinks, preferences: Preferences, telemetry: Telemetry) -> None:
        self._links = links
        self._preferences = preferences
        self._telemetry = telemetry
        self._used: Counter[Right] = Counter()
        self._since = 0.0

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Take the paths."""
        router.add_get(PATH + "{token}", self._show)
        router.add_post(PATH + "{token}", self._act)

    async def _show(self, request: web.Request) -> web.Response:
        right = self._right(request)
        if isinstance(right, web.Response):
            return right
        try:
            return _answer(inbox_page(await self._preferences.show(right.recipient, right.subscription)))
        except (StoreUnavailable, RefusedByRedis):
            return _answer(notice(NOT_NOW), 503)

    async def _act(self, request: web.Request) -> web.Response:
        right = self._right(request)
        if isinstance(right, web.Response):
            return right
        try:
            form = await fields_of(request)
        except TimeoutError:
            answer = _answer(notice(NOT_UNDERSTOOD), 408)
            # Whatever still comes of it is no new request.
            answer.force_close()
            return answer
        except ValueError:
            return _answer(notice(NOT_UNDERSTOOD), 400)
        one_click = form.get("List-Unsubscribe") == "One-Click"
        name = "unsubscribe" if one_click else form.get("act", "")
        if name not in _ACTS:
            return _answer(notice(NOT_UNDERSTOOD), 400)
        try:
            kept = await self._keep(right, "one-click" if one_click else name, *_ACTS[name])
        except (StoreUnavailable, RefusedByRedis):
            return _answer(notice(NOT_NOW), 503)
        if one_click:
            return web.Response(text="unsubscribed\n", headers=_HEADERS)
        return _answer(inbox_page(kept))

    async def _keep(self, right: Right, told: str, act: Act, span_ms: int) -> Kept:
        kept = await self._preferences.act(right.recipient, right.subscription, act, span_ms=span_ms)
        self._telemetry.ruled(told, right.recipient, kept.identity or right.subscription)
        return kept

    def _right(self, request: web.Request) -> Right | web.Response:
        """Return the right that a request brings, or the answer to one that brings none or comes too often."""
        now = time.monotonic()
        if now - self._since >= _MINUTE_S:
            self._since, self._used = now, Counter()
        # A link is good for two years: the clock of this host will do.
        right = self._links.read(request.match_info["token"], int(time.time() * 1000))
        if right is None:
            return _answer(notice(NOT_VALID), 404)
        self._used[right] += 1
        if self._used[right] > _MOST:
            return _answer(notice(TOO_OFTEN), 429)
        return right


def _answer(page: str, status: int = 200) -> web.Response:
    headers = dict(_HEADERS)
    if status in (429, 503):
        headers["Retry-After"] = "60"
    return web.Response(text=page, status=status, content_type="text/html", headers=headers)
