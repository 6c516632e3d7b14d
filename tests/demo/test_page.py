"""The inbox page over HTTP: what it shows, and what it never lets through."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kinto_notify.demo.inbox import Inbox
from kinto_notify.demo.page import Page
from kinto_notify.demo.servers import free_port
from support.letters import letter, send

EVIL = "<script>alert(1)</script>\"'&${x}"
EVIL_ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;${x}"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox(free_port()) as inbox:
        yield inbox


@pytest.fixture
async def client(inbox: Inbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with Page(inbox, free_port(), "curl <here>") as page, aiohttp.ClientSession(page.url) as client:
        yield client


async def test_empty_it_says_what_to_do_and_renews_itself(client: aiohttp.ClientSession) -> None:
    async with client.get("/") as answer:
        body = await answer.text()
    assert answer.status == 200
    assert "Nothing here yet" in body
    assert "curl &lt;here&gt;" in body
    assert '<meta http-equiv="refresh"' in body


async def test_the_list_has_the_newest_first(inbox: Inbox, client: aiohttp.ClientSession) -> None:
    await asyncio.to_thread(send, inbox.port, letter("first one"), letter("second one"))
    async with client.get("/") as answer:
        body = await answer.text()
    assert 0 < body.index("second one") < body.index("first one")
    assert body.index('href="/mails/2"') < body.index('href="/mails/1"')


async def test_a_mail_has_its_views(inbox: Inbox, client: aiohttp.ClientSession) -> None:
    source = letter("both", "the text", "<p>the html</p>")
    await asyncio.to_thread(send, inbox.port, source)
    views = {}
    for path in ("/mails/1", "/mails/1/text", "/mails/1/source", "/mails/1/body", "/mails/1.eml"):
        async with client.get(path) as answer:
            assert answer.status == 200, path
            views[path] = await answer.text("utf-8")
    assert 'src="/mails/1/body" sandbox="allow-popups"' in views["/mails/1"]
    assert "refresh" not in views["/mails/1"]
    assert "the text" in views["/mails/1/text"]
    assert "Subject: both" in views["/mails/1/source"]
    assert "&lt;p&gt;the html&lt;/p&gt;" in views["/mails/1/source"]
    assert views["/mails/1/body"].strip() == "<p>the html</p>"
    assert views["/mails/1.eml"].encode() == source


async def test_without_html_there_is_no_tab_for_it(inbox: Inbox, client: aiohttp.ClientSession) -> None:
    await asyncio.to_thread(send, inbox.port, letter("plain", "only text"))
    async with client.get("/mails/1") as answer:
        body = await answer.text()
    assert "only text" in body
    assert "iframe" not in body
    assert ">HTML<" not in body


async def test_everything_from_a_mail_is_escaped(inbox: Inbox, client: aiohttp.ClientSession) -> None:
    evil = letter("x", EVIL).replace(b"Subject: x", b"Subject: " + EVIL.encode())
    evil = evil.replace(b"Kinto <kinto@example.org>", b"<script>alert(1)</script> <a@example.org>")
    await asyncio.to_thread(send, inbox.port, evil)
    for path in ("/", "/mails/1", "/mails/1/text", "/mails/1/source"):
        async with client.get(path) as answer:
            body = await answer.text()
        assert "<script" not in body, path
        assert EVIL_ESCAPED in body, path


@pytest.mark.parametrize("path", ["/", "/mails/1", "/mails/1/text", "/mails/1/source", "/style.css", "/nothing"])
async def test_our_pages_load_nothing_from_elsewhere(inbox: Inbox, client: aiohttp.ClientSession, path: str) -> None:
    await asyncio.to_thread(send, inbox.port, letter("a", "b", "<p>c</p>"))
    async with client.get(path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "https://" not in await answer.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_mails_own_html_is_shut_in(inbox: Inbox, client: aiohttp.ClientSession) -> None:
    await asyncio.to_thread(send, inbox.port, letter("a", "b", "<script>steal()</script><img src=https://spy.test/>"))
    async with client.get("/mails/1/body") as answer:
        policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy == ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "sandbox allow-popups"]


@pytest.mark.parametrize(
    "path", ["/mails/9", "/mails/9/text", "/mails/9/body", "/mails/9.eml", "/mails/x", "/mails/1/other", "/nothing"]
)
async def test_what_is_not_there_leads_back(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 404
        assert 'href="/"' in await answer.text()


async def test_head_and_other_methods(client: aiohttp.ClientSession) -> None:
    async with client.head("/") as answer:
        assert answer.status == 200
        assert await answer.read() == b""
    async with client.post("/", data=b"x") as answer:
        assert answer.status == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:80", 200),
        ("demo.localhost", 200),
        ("[::1]", 200),
        ("evil.test", 421),
        ("10.1.2.3", 421),
    ],
)
async def test_it_answers_to_names_of_this_machine_only(client: aiohttp.ClientSession, host: str, status: int) -> None:
    async with client.get("/", headers={"Host": host}) as answer:
        assert answer.status == status
