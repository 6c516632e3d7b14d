"""The status page and the previews, served on a real Redis (X12, X13)."""

import base64
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from kinto_notify.demo.servers import RedisServer
from support.filings import ANNA
from support.operator_site import HOSTILE, Site

TOKEN = "0123456789abcdef"
FROM_AFAR = {"X-Forwarded-For": "192.0.2.7"}
PATHS = ("/", "/preview/articles")


@pytest.fixture
async def desk(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(redis_server.url, tmp_path, admin_token=TOKEN).open() as made:
        yield made


async def get(site: Site, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, str]:
    async with aiohttp.request(method, f"{site.url}{path}", headers=headers) as answer:
        return answer.status, await answer.text()


async def changes(site: Site) -> object:
    """How many changes the server has counted."""
    return (await site.client.redis.info("persistence"))["rdb_changes_since_last_save"]


def words(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


class Elements(HTMLParser):
    """All elements and attributes of a page, and whether each that was opened was closed."""

    VOID = frozenset({"meta", "link", "br", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_it_tells_what_is_where(desk: Site) -> None:
    await desk.happened()
    status, html = await get(desk, "/")
    text = words(html)
    assert status == 200
    assert "✓ mail can be sent" in text
    for number in ("digests open 3", "of them paused 1", "mails waiting 1", "dead letters 1"):
        assert " ".join(reversed(number.rsplit(" ", 1))) in text or number in text
    assert "articles due in 59 min blog/articles · 2 changes" in text
    assert "daily ‖ paused blog/pages · 2 changes" in text
    assert re.search(r"articles ✓ sent \S+ \S+ \S+ \S+ UTC · to " + ANNA.fingerprint[:12], text)
    assert "↻ 1 attempt due" in text
    assert "550 5.1.1 at RCPT ✕ 1" in text
    assert "articles ✓ active 1 open digest · last mail" in text
    assert "1 recipient · bucket_id blog, where /status is published · 30s after the first change" in text
    assert "daily ‖ paused 1 open digest · no mail lately · 2 recipients" in text
    # A hook is known by what it has open.
    assert "/buckets/wiki/collections/notes#" in text


async def test_x13_no_address_and_no_markup_of_strangers(desk: Site) -> None:
    await desk.happened()
    for path in ("/", "/preview/articles", f"/preview/{quote(HOSTILE, safe='')}"):
        status, html = await get(desk, path)
        assert status == 200
        found = Elements(html)
        assert found.tags.isdisjoint({"script", "form", "input", "button", "img", "object", "embed"})
        assert not any(name.startswith("on") for name in found.attributes)
        assert found.attributes.isdisjoint({"src", "action", "formaction", "style"})
        assert HOSTILE not in html
    page = (await get(desk, "/"))[1]
    assert "<script>" not in page
    for address in ("anna@", "ben@", "carl@", "editors@", "chief@"):
        assert address not in page


async def test_what_keeps_mail_from_going_is_said_first(desk: Site) -> None:
    desk.unready[:] = ["no smarthost can be used", "draining"]
    text = words((await get(desk, "/"))[1])
    assert "✕ no smarthost can be used ✕ draining" in text
    assert "mail can be sent" not in text


async def test_nothing_has_happened_yet(desk: Site) -> None:
    status, html = await get(desk, "/")
    assert status == 200
    assert "Open digests none" in words(html)
    Elements(html)


@pytest.mark.parametrize("path", PATHS)
async def test_x12_from_afar_with_the_token_alone(desk: Site, path: str) -> None:
    assert (await get(desk, path))[0] == 200
    for wrong in ({}, {"Authorization": "Bearer 0123456789abcdeg"}):
        status, text = await get(desk, path, FROM_AFAR | wrong)
        assert (status, "subscription" in text.lower()) == (401, False)
    basic = base64.b64encode(f"ops:{TOKEN}".encode()).decode()
    for right in (f"Bearer {TOKEN}", f"Basic {basic}"):
        assert (await get(desk, path, FROM_AFAR | {"Authorization": right}))[0] == 200


@pytest.mark.parametrize("path", PATHS)
async def test_x12_from_afar_without_a_token_set(redis_server: RedisServer, tmp_path: Path, path: str) -> None:
    async with Site(redis_server.url, tmp_path).open() as site:
        assert (await get(site, path))[0] == 200
        status, text = await get(site, path, FROM_AFAR | {"Authorization": "Bearer "})
        assert (status, "KINTO_NOTIFY_ADMIN_TOKEN" in text) == (403, True)


async def test_x12_never_under_the_public_host(redis_server: RedisServer, tmp_path: Path) -> None:
    public = {"public_url": "https://notify.example.org", "secret": TOKEN, "admin_token": TOKEN}
    async with Site(redis_server.url, tmp_path, **public).open() as site:
        for path in PATHS:
            for more in ({}, {"Authorization": f"Bearer {TOKEN}"}):
                assert (await get(site, path, {"Host": "notify.example.org", **more}))[0] == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", PATHS)
async def test_x12_there_is_nothing_to_act_on(desk: Site, path: str, method: str) -> None:
    assert (await get(desk, path, {"Authorization": f"Bearer {TOKEN}"}, method))[0] == 405


async def test_looking_changes_nothing(desk: Site) -> None:
    await desk.happened()
    before = await changes(desk)
    for path in PATHS:
        assert (await get(desk, path))[0] == 200
    assert await changes(desk) == before


async def test_the_policy_lets_in_the_pages_own_style_and_nothing_else(desk: Site) -> None:
    for path in PATHS:
        async with aiohttp.request("GET", f"{desk.url}{path}") as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-store"
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules.pop("img-src") == "data:"
        assert rules.pop("style-src").startswith("'sha256-" if path == "/" else "'unsafe-inline'")
        assert set(rules) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
        assert set(rules.values()) == {"'none'"}


async def test_without_redis_the_page_says_so(tmp_path: Path) -> None:
    async with Site("redis://127.0.0.1:1/0", tmp_path).open() as site:
        status, html = await get(site, "/")
        assert (status, "There is nothing to show: Redis" in words(html)) == (503, True)
        assert (await get(site, "/preview/articles"))[0] == 200


async def test_a_preview_is_the_mail_in_a_frame_where_nothing_runs(desk: Site) -> None:
    status, html = await get(desk, "/preview/articles")
    assert status == 200
    assert "<iframe sandbox title" in html
    assert "Ten quiet walks for autumn" in words(html.partition("<h2>Text</h2>")[2])
    assert "&lt;!DOCTYPE html&gt;" in html
    redacted = (await get(desk, "/preview/daily"))[1]
    assert "Ten quiet walks" not in redacted
    assert "~ status: draft" in redacted
    assert (await get(desk, "/preview/nobody"))[0] == 404
