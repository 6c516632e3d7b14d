"""`/acts`: what the operator may do by the web. GET shows, POST acts, and only with `ADMIN_TOKEN`.

In: of a form `act`, which is a word and what it is about, and `token`; or the token as a bearer's. Out: the page again,
with what was done; 403 without the token or where none is set, 429 after many wrong ones, 400 for what is no act, 404
for what is not there (any more), 503 while Redis does not answer. No cookie, no login: another site cannot use it.
"""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from kinto_notify.compose import phrases
from kinto_notify.errors import StoreUnavailable
from kinto_notify.notice import plain_reason
from kinto_notify.settings import Settings
from kinto_notify.store.client import Client, RefusedByRedis
from kinto_notify.store.dead import DeadLetter, DeadLetters
from kinto_notify.store.pauses import EVERY, Pauses
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.acts_page import Done, acts_page
from kinto_notify.web.admission import from_another_site, may_act
from kinto_notify.web.form import fields_of
from kinto_notify.web.page import shown_name
from kinto_notify.web.server import Handler
from kinto_notify.web.status import STYLE_POLICY, StatusPages, answer, nothing_to_show

#: Wrong tokens in a minute, by this daemon; a person who types needs fewer.
_MOST_WRONG = 10
_MINUTE_S = 60.0
#: Dead letters that one request takes: it must be answered while somebody waits.
_MOST_LETTERS = 1_000
_DROPPED_AT_ONCE = 200
_POLICY = f"default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; {STYLE_POLICY}"
_REFUSED = "this needs KINTO_NOTIFY_ADMIN_TOKEN; nothing was done\n"
_CLOSED = "Nothing can be done here: KINTO_NOTIFY_ADMIN_TOKEN is not set."
_Act = Callable[[str], Awaitable[Done]]


class _Absent(Exception):
    """There is nothing of this name; the text says so."""


class ActPages:
    """The page and what its buttons do."""

    def __init__(self, pages: StatusPages, settings: Settings, client: Client, telemetry: Telemetry) -> None:
        self._pages = pages
        self._token = settings.admin_token
        self._pauses = Pauses(client)
        self._dead = DeadLetters(client)
        self._telemetry = telemetry
        self._wrong = 0
        self._since = 0.0
        self._acts: dict[str, _Act] = {
            "check": self._check,
            "pause": self._pause,
            "resume": self._resume,
            "flush": self._flush,
            "retry": self._retry,
            "drop": self._drop,
            "retry-reason": self._retry_reason,
            "drop-reason": self._drop_reason,
        }

    def handlers(self) -> dict[str, Handler]:
        """Return what answers to GET."""
        return {"/acts": self._pages.admitted(self._show)}

    def posts(self) -> dict[str, Handler]:
        """Return what answers to POST."""
        return {"/acts": self._post}

    async def _show(self, _: web.Request) -> web.Response:
        return await self._page(Done(_CLOSED, well=False) if self._token is None else None)

    async def _page(self, done: Done | None, status: int = 200) -> web.Response:
        try:
            return answer(acts_page(await self._pages.look(), done), _POLICY, status)
        except (StoreUnavailable, TimeoutError) as fault:
            return nothing_to_show(fault)

    async def _post(self, request: web.Request) -> web.Response:
        if self._token is None:
            raise web.HTTPForbidden(text=f"{_CLOSED}\n")
        if from_another_site(request.headers):
            # Not counted as a guess: any page the operator opens could keep the operator out.
            raise web.HTTPForbidden(text=_REFUSED)
        if self._too_many():
            raise web.HTTPTooManyRequests(text="too many wrong tokens: try again in a minute\n")
        form = await _form(request)
        if not may_act(request.headers, form.get("token", ""), self._token):
            self._wrong += 1
            self._telemetry.acted("refused", "", 0)
            # No page: whoever has not the token may not be one who may look.
            raise web.HTTPForbidden(text=_REFUSED)
        word, _, what = form.get("act", "").partition(" ")
        act = self._acts.get(word)
        if act is None:
            return await self._page(Done("That was not understood: nothing was done.", well=False), 400)
        try:
            return await self._page(await act(what))
        except _Absent as fault:
            return await self._page(Done(f"{fault}: nothing was done.", well=False), 404)
        except (StoreUnavailable, RefusedByRedis, TimeoutError) as fault:
            return nothing_to_show(fault)

    def _too_many(self) -> bool:
        now = time.monotonic()
        if now - self._since >= _MINUTE_S:
            self._since, self._wrong = now, 0
        return self._wrong >= _MOST_WRONG

    # --- the acts

    async def _check(self, _: str) -> Done:
        return Done("The token is right. Nothing was changed.", well=True)

    async def _pause(self, identity: str) -> Done:
        name = await self._name(identity)
        new = await self._pauses.pause(identity)
        self._telemetry.acted("pause", identity, int(new))
        return Done(f"{name}: {'paused' if new else 'was paused already'}. Changes are gathered, and not mailed.", True)

    async def _resume(self, identity: str) -> Done:
        name = await self._name(identity)
        ended = await self._pauses.resume(identity)
        self._telemetry.acted("resume", identity, ended)
        if EVERY in await self._pauses.all():
            return Done(f"{name}: resumed, but all subscriptions are paused.", well=False)
        return Done(f"{name}: {'resumed' if ended else 'was not paused'}.", well=True)

    async def _flush(self, identity: str) -> Done:
        name = await self._name(identity)
        found = await self._pauses.flush(identity)
        self._telemetry.acted("flush", identity, found.digests)
        digests, changes = phrases.plural(found.digests, "digest"), phrases.plural(found.changes, "change")
        return Done(f"{name}: {digests} with {changes} due now.", well=True)

    async def _name(self, identity: str) -> str:
        """Return what people call a subscription that there is, or was."""
        if identity == EVERY:
            return "All subscriptions"
        hook = identity.startswith("/buckets/") and "#" in identity
        if not (hook or identity in self._pages.identities() or identity in await self._left()):
            raise _Absent("There is no such subscription")
        return shown_name(identity)

    async def _left(self) -> set[str]:
        """Return those that may have left the file, and are paused still or have digests."""
        return {*await self._pauses.all(), *await self._pauses.identities()}

    async def _retry(self, ident: str) -> Done:
        letter = await self._letter(ident)
        return await self._tried([letter])

    async def _drop(self, ident: str) -> Done:
        return await self._dropped([await self._letter(ident)])

    async def _retry_reason(self, reason: str) -> Done:
        return await self._tried(await self._letters(reason))

    async def _drop_reason(self, reason: str) -> Done:
        return await self._dropped(await self._letters(reason))

    async def _tried(self, letters: list[DeadLetter]) -> Done:
        revived = [one.id for one in letters if await self._dead.retry(one.id)]
        self._telemetry.acted("retry", "dead letters", len(revived))
        return Done(f"{phrases.plural(len(revived), 'dead letter')} will be tried again.{_rest(letters)}", well=True)

    async def _dropped(self, letters: list[DeadLetter]) -> Done:
        dropped = 0
        for start in range(0, len(letters), _DROPPED_AT_ONCE):
            dropped += await self._dead.drop([one.id for one in letters[start : start + _DROPPED_AT_ONCE]])
        self._telemetry.acted("drop", "dead letters", dropped)
        return Done(f"{phrases.plural(dropped, 'dead letter')} dropped.{_rest(letters)}", well=True)

    async def _letter(self, ident: str) -> DeadLetter:
        letter = await self._dead.get(ident)
        if letter is None:
            raise _Absent("There is no such dead letter any more")
        return letter

    async def _letters(self, reason: str) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        async for letter in self._dead.newest():
            if plain_reason(letter.kind, letter.reason) == reason:
                found.append(letter)
                if len(found) == _MOST_LETTERS:
                    break
        if not found:
            raise _Absent("There are no such dead letters any more")
        return found


async def _form(request: web.Request) -> dict[str, str]:
    """Read the form, or say what is wrong with it."""
    try:
        return await fields_of(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the form did not come; nothing was done\n") from None
    except ValueError:
        raise web.HTTPBadRequest(text="this is no form; nothing was done\n") from None


def _rest(letters: list[DeadLetter]) -> str:
    return f" There may be more: {_MOST_LETTERS:,} go at once." if len(letters) == _MOST_LETTERS else ""
