"""The pages in a headless Chromium: no wider than a phone, styled, and nothing of theirs stopped by their policy."""

import base64
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import LINES, sample_digest
from kinto_notify.demo.servers import RedisServer
from kinto_notify.digest import Line
from kinto_notify.store.pauses import Pauses
from support.filings import ANNA
from support.operator_site import Site
from tools.render import NAMES, WrongLook, browser, render

pytestmark = pytest.mark.skipif(
    not (os.environ.get("CHROMIUM") or any(map(shutil.which, NAMES))), reason="no Chromium on PATH, nor in $CHROMIUM"
)


@pytest.mark.parametrize("path", ["/", "/acts", "/preview/articles"])
async def test_a_phone_and_a_desk_show_it_whole(redis_server: RedisServer, tmp_path: Path, path: str) -> None:
    async with Site(redis_server.url, tmp_path).open() as site:
        await site.happened()
        pictures = await render(f"{site.url}{path}", "page", tmp_path, [360, 900], ["light", "dark"], strict=True)
    seen = {one.name: one.read_bytes() for one in pictures}
    assert len(set(seen.values())) == len(seen) == 4, "light and dark are the same"


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<meta name="viewport" content="width=device-width"><div style="width:900px">x</div>', "wider"),
        (
            "<meta http-equiv=Content-Security-Policy content=\"style-src 'none'\"><style>p{color:red}</style>",
            "Content Security Policy",
        ),
    ],
)
async def test_the_look_itself_sees_faults(tmp_path: Path, html: str, fault: str) -> None:
    url = "data:text/html;base64," + base64.b64encode(html.encode()).decode()
    with pytest.raises(WrongLook, match=fault):
        await render(url, "page", tmp_path, [360], ["light"], strict=True)


TOKEN = "0123456789abcdef"


async def test_acts_work_without_a_script_and_enter_does_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    async with Site(redis_server.url, tmp_path, admin_token=TOKEN).open() as site, browser() as page:
        await site.happened()
        pauses = Pauses(site.client)
        before = await pauses.all()
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.open(f"{site.url}/acts")
        await page.type("#token", TOKEN)
        await page.enter()
        await page.event("Page.loadEventFired")
        assert await page.text(".verdict") == "The token is right. Nothing was changed."
        assert await pauses.all() == before
        await page.type("#token", TOKEN)
        await page.click('button[value="pause file#articles"]')
        await page.event("Page.loadEventFired")
        assert (await page.text(".verdict")).startswith("articles: paused.")
        assert "file#articles" in await pauses.all()
        # What cannot be undone is behind a second click.
        await page.type("#token", TOKEN)
        await page.click("section:last-of-type details summary")
        await page.click("section:last-of-type details button")
        await page.event("Page.loadEventFired")
        assert await page.text(".verdict") == "1 dead letter dropped."
        # Without the token the browser does not even ask.
        await page.click('button[value="pause *"]')
        assert "*" not in await pauses.all()
        assert page.told == []


async def test_a_recipients_page_works_without_a_script(redis_server: RedisServer, tmp_path: Path) -> None:
    more = {"public_url": "http://notify.localhost", "secret": "a-secret-of-32-characters-length"}
    async with Site(redis_server.url, tmp_path, **more).open() as site, browser() as page:
        assert site.settings.links is not None
        token = site.settings.links.token(ANNA.fingerprint, "file#articles", await site.client.time())
        url = f"http://notify.localhost:{site.port}/u/{token}"
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.open(url)
        assert await page.text("h1") == "Stop these mails?"
        await page.click('button[value="unsubscribe"]')
        await page.event("Page.loadEventFired")
        assert await page.text("h1") == "You are unsubscribed"
        await page.click('button[value="resubscribe"]')
        await page.event("Page.loadEventFired")
        assert await page.text("h1") == "Stop these mails?"
        assert page.told == []
        await render(url, "inbox", tmp_path, [320, 900], ["light", "dark"], strict=True)


@pytest.mark.parametrize("lines", [LINES[:1], LINES])
async def test_a_mail_is_no_wider_than_a_small_phone(tmp_path: Path, lines: tuple[Line, ...]) -> None:
    composer = Composer(sender=Mailbox("Kinto", "kinto@example.org"), admin_url="https://kinto.example.org/v1/admin")
    mail = tmp_path / "mail.html"
    held = replace(sample_digest(), oldest=1, due=1)
    for digest in (replace(sample_digest(), lines=lines), held):
        mail.write_text(composer.parts(digest).html)
        pictures = await render(mail.as_uri(), "mail", tmp_path, [320, 900], ["light", "dark"], strict=True)
        assert len({one.read_bytes() for one in pictures}) == 4
