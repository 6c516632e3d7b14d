"""The pages in a headless Chromium: no wider than a phone, styled, and nothing of theirs stopped by their policy."""

import base64
import os
import shutil
from pathlib import Path

import pytest

from kinto_notify.demo.servers import RedisServer
from support.operator_site import Site
from tools.render import NAMES, WrongLook, render

pytestmark = pytest.mark.skipif(
    not (os.environ.get("CHROMIUM") or any(map(shutil.which, NAMES))), reason="no Chromium on PATH, nor in $CHROMIUM"
)


@pytest.mark.parametrize("path", ["/", "/preview/articles"])
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
