"""Look at a mail: HTML to PNG at 360 and 900 px, in light and dark, by a headless Chromium.

    python tests/tools/render.py [sample | FILE.html | URL] [--out DIR] [--width 360 900] [--scheme light dark]

In: the built-in sample digest, a file, or a page of ours. Out: DIR/NAME-WIDTH-SCHEME.png of the whole page. Chromium is
found on PATH or in $CHROMIUM; without one this ends with exit code 69. The browser gets no network but the page's.
"""

import argparse
import asyncio
import base64
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path

import aiohttp

from kinto_notify.address import Mailbox
from kinto_notify.compose.composer import Composer
from kinto_notify.compose.sample import sample_digest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: A browser that says nothing for so long will not come.
START_LIMIT_S = 30
#: A frame that is not painted after so many looks was painted before the first.
FRAME_TRIES = 30
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
PHONE = 480  #: up to this width the page is shown as a phone shows it


class WrongLook(Exception):
    """A page is wider than its window, or its own policy stops a part of it."""


class Page:
    """One browser tab, spoken to in the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        #: What the browser said to the developer on the way.
        self.told: list[str] = []

    async def call(self, method: str, **params: object) -> dict:
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        while True:
            told = await self._receive()
            if told.get("id") == self._last:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                return told["result"]

    async def event(self, method: str) -> None:
        while (await self._receive()).get("method") != method:
            pass

    async def _receive(self) -> dict:
        told = await self._socket.receive_json(timeout=START_LIMIT_S)
        if told.get("method") == "Log.entryAdded":
            self.told.append(told["params"]["entry"]["text"])
        elif told.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.told.append(str(told["params"]))
        return told

    # --- as a person would, without a line of script in the page

    async def open(self, url: str) -> None:
        await self.call("Page.enable")
        await self.call("Log.enable")
        await self.call("Runtime.enable")
        await self.call("Page.navigate", url=url)
        await self.event("Page.loadEventFired")

    async def find(self, selector: str) -> int:
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        if not node:
            raise LookupError(selector)
        return int(node)

    async def has(self, selector: str) -> bool:
        try:
            return bool(await self.find(selector))
        except LookupError:
            return False

    async def text(self, selector: str) -> str:
        html = (await self.call("DOM.getOuterHTML", nodeId=await self.find(selector)))["outerHTML"]
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())

    async def type(self, selector: str, text: str) -> None:
        await self.call("DOM.focus", nodeId=await self.find(selector))
        await self.call("Input.insertText", text=text)

    async def enter(self) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                            windowsVirtualKeyCode=13)  # fmt: skip

    async def click(self, selector: str) -> None:
        node = await self.find(selector)
        await self.call("DOM.scrollIntoViewIfNeeded", nodeId=node)
        corners = (await self.call("DOM.getBoxModel", nodeId=node))["model"]["border"]
        where = {"x": (corners[0] + corners[4]) / 2, "y": (corners[1] + corners[5]) / 2}
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **where)


async def shoot(page: Page, url: str, width: int, scheme: str, *, fine: bool, strict: bool) -> bytes:
    """Return the whole page as PNG bytes."""
    phone = width <= PHONE
    metrics = {"width": width, "height": 640, "deviceScaleFactor": 2 if phone and fine else 1, "mobile": phone}
    await page.call("Emulation.setDeviceMetricsOverride", **metrics)
    await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.told.clear()
    await page.open(url)
    size = (await page.call("Page.getLayoutMetrics"))["cssContentSize"]
    faults = list(page.told)
    if size["width"] > width:
        faults.append(f"wider than the window: {size['width']} > {width}")
    if faults and strict:
        raise WrongLook("; ".join(faults))
    print(*(f"  {one}" for one in faults), sep="\n", end="", file=sys.stderr)
    clip = {"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1}
    if not await page.has("iframe"):
        return await capture(page, clip=clip, captureBeyondViewport=True)
    # What is in a frame is painted by a process of its own, only within the window, and after the page has loaded.
    await page.call("Emulation.setDeviceMetricsOverride", **{**metrics, "height": size["height"]})
    first = await capture(page, clip=clip)
    for _ in range(FRAME_TRIES):
        await asyncio.sleep(0.1)
        picture = await capture(page, clip=clip)
        if picture != first:
            return picture
    return first


async def capture(page: Page, **how: object) -> bytes:
    told = await page.call("Page.captureScreenshot", format="png", **how)
    return base64.b64decode(told["data"])


async def render(
    url: str, stem: str, out: Path, widths: list[int], schemes: list[str], *, fine: bool = True, strict: bool = False
) -> list[Path]:
    """Write one picture for each width and scheme."""
    written = []
    async with browser() as page:
        for width in widths:
            for scheme in schemes:
                path = out / f"{stem}-{width}-{scheme}.png"
                path.write_bytes(await shoot(page, url, width, scheme, fine=fine, strict=strict))
                written.append(path)
    return written


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """Start a browser; a tab of it."""
    binary = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        print("render: no Chromium on PATH, nor in $CHROMIUM", file=sys.stderr)
        raise SystemExit(69)
    # The browser's last children may still write into it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            binary,
            *FLAGS,
            f"--user-data-dir={profile}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await asyncio.to_thread(_port, Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.put("/json/new?about:blank") as answer:
                    target = await answer.json()
                async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.terminate()
            await process.wait()


def _port(file: Path) -> str:
    """Wait for the port that the browser writes down."""
    limit = time.monotonic() + START_LIMIT_S
    while not (file.exists() and file.read_text().strip()):
        if time.monotonic() > limit:
            raise TimeoutError("the browser did not start")
        time.sleep(0.05)
    return file.read_text().split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="sample")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--width", type=int, nargs="+", default=[360, 900])
    parser.add_argument("--scheme", nargs="+", default=["light", "dark"], choices=["light", "dark"])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        if args.what == "sample":
            composer = Composer(
                sender=Mailbox("Kinto", "kinto@example.org"), admin_url="https://kinto.example.org/v1/admin"
            )
            page = Path(work) / "sample.html"
            page.write_text(composer.parts(sample_digest()).html, encoding="utf-8")
            url, stem = page.as_uri(), "sample"
        elif "://" in args.what:
            url, stem = args.what, "page"
        else:
            url, stem = Path(args.what).resolve(strict=True).as_uri(), Path(args.what).stem
        for path in asyncio.run(render(url, stem, args.out, args.width, args.scheme)):
            print(path)


if __name__ == "__main__":
    main()
