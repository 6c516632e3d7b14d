"""The demo: a private Redis, a real Kinto, the daemon and an inbox; writes to Kinto become mails to look at.

In: whether to end when all has arrived. Out: lines in the terminal and a page. `Unavailable` when something did not
start, ended by itself, or when the mails are not what they must be after `LIMIT` seconds; the ends of the logs
are printed before. All children and files are gone afterwards.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kinto_notify.demo import story
from kinto_notify.demo.inbox import Inbox, InboxMail
from kinto_notify.demo.notifier import Notifier
from kinto_notify.demo.page import Page
from kinto_notify.demo.servers import KINTO_USER, KintoServer, RedisServer, Server, free_port
from kinto_notify.demo.terminal import Terminal
from kinto_notify.errors import Unavailable

# The mails take two seconds; a busy machine may need many times that.
LIMIT = 60.0
_USER = ":".join(KINTO_USER)
# How much of a mail is shown while a person watches (the page has all of it), and of a log when something failed.
_SHOWN_LINES = 24
_LOG_LINES = 15
# Seconds between two looks at whether our children still run.
_WATCH_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Stage:
    """All that stands while the demo runs."""

    kinto: KintoServer
    servers: Sequence[Server]
    notifier: Notifier
    inbox: Inbox
    page: Page


async def play(once: bool, terminal: Terminal) -> None:
    """Run the demo; with `once` until all mails have arrived, else until it is cancelled."""
    with TemporaryDirectory(prefix="kinto-notify-demo-", ignore_cleanup_errors=True) as directory:
        async with _stage(Path(directory), terminal) as stage:
            watch = asyncio.ensure_future(_watch(stage.servers))
            scene = asyncio.ensure_future(_scene(stage, once, terminal))
            try:
                await asyncio.wait((watch, scene), return_when=asyncio.FIRST_COMPLETED)
                await (scene if scene.done() else watch)
            except Unavailable:
                _show_logs(stage.servers, terminal)
                raise
            finally:
                watch.cancel()
                scene.cancel()
                await asyncio.gather(watch, scene, return_exceptions=True)


@asynccontextmanager
async def _stage(directory: Path, terminal: Terminal) -> AsyncIterator[Stage]:
    """Open everything, each after what it needs; close it in reverse order."""
    async with AsyncExitStack() as stack:
        redis = RedisServer(directory)
        await _start(redis, stack)
        terminal.gap()
        terminal.place("redis", f"127.0.0.1:{redis.port}", "private, in a temporary directory")
        kinto = KintoServer(directory, redis.url)
        await _start(kinto, stack)
        terminal.place("kinto", f"{kinto.url}/", _USER)
        inbox = await stack.enter_async_context(Inbox(free_port()))
        page = await stack.enter_async_context(Page(inbox, free_port(), story.try_it(kinto.url, _USER)))
        terminal.place("inbox", page.url, f"SMTP on 127.0.0.1:{inbox.port}")
        notifier = Notifier(directory, redis.url, inbox.port)
        await _start(notifier, stack)
        terminal.place("daemon", f"{notifier.url}/healthz", "kinto-notify run")
        terminal.gap()
        yield Stage(kinto, (redis, kinto, notifier), notifier, inbox, page)


async def _start(server: Server, stack: AsyncExitStack) -> None:
    # Both in a thread: the inbox answers and Ctrl-C is heard meanwhile. `stop` also ends a start that still waits.
    stack.push_async_callback(asyncio.to_thread, server.stop)
    server.launch()
    await asyncio.to_thread(server.wait)


async def _scene(stage: Stage, once: bool, terminal: Terminal) -> None:
    """Write the story, show the mails about it, and say whether they are right."""
    await _write(stage.kinto, terminal)
    show = Show(stage, time.monotonic(), None if once else _SHOWN_LINES, terminal)
    try:
        async with asyncio.timeout(LIMIT):
            while story.missing(show.texts):
                await show.next()
    except TimeoutError:
        lost = f"{story.missing(show.texts)} of {len(story.WRITES)} changes in no mail after {LIMIT:.0f} s"
        raise Unavailable("\n".join((lost, *story.faults(show.texts)))) from None
    if once:
        # What the daemon still has in hand comes now: a second copy would show.
        await asyncio.to_thread(stage.notifier.stop)
        await show.rest()
    if wrong := story.faults(show.texts):
        raise Unavailable("\n".join(("the mails do not tell what was written", *wrong)))
    terminal.good(f"{len(story.WRITES)} changes, {len(show.texts)} mails, each change reported exactly once")
    if once:
        return
    terminal.gap()
    terminal.line("Now you: write to Kinto, and watch the mail arrive here and in the inbox. Ctrl-C stops.")
    terminal.gap()
    terminal.command(story.try_it(stage.kinto.url, _USER))
    terminal.gap()
    show.written = None
    while True:
        await show.next()


async def _write(kinto: KintoServer, terminal: Terminal) -> None:
    """Send the story to Kinto over HTTP, as any client would."""
    for _, writes in itertools.groupby(story.WRITES, key=lambda write: (write.method, write.uri.count("/"))):
        alike = tuple(writes)
        status = 0
        for write in alike:
            status, answer = await asyncio.to_thread(kinto.request, write.method, write.uri, write.body)
            if status >= 400:
                text = answer.decode(errors="replace")
                raise Unavailable(f"Kinto answered {status} to {write.method} {write.uri}: {text}")
        more = f"and {len(alike) - 1} more" if len(alike) > 1 else ""
        terminal.event("write", f"{alike[0].method:<6} {alike[0].uri}  {status}", more)


class Show:
    """Prints the mails of the inbox in the order in which they arrived, each once."""

    def __init__(self, stage: Stage, written: float | None, limit: int | None, terminal: Terminal) -> None:
        self.written = written
        self.texts: list[str] = []
        self._stage = stage
        self._limit = limit
        self._terminal = terminal

    async def next(self) -> None:
        """Wait for the next mail and print it."""
        self._print(await self._stage.inbox.after(len(self.texts)))

    async def rest(self) -> None:
        """Print what has arrived and was not printed yet."""
        while self._stage.inbox.newest > len(self.texts):
            await self.next()

    def _print(self, mail: InboxMail) -> None:
        self.texts.append(mail.text)
        since = "" if self.written is None else f"{time.monotonic() - self.written:.1f} s after the last write"
        self._terminal.event("mail", f"{', '.join(mail.recipients)}  “{mail.subject}”", since)
        self._terminal.block(mail.text, self._limit, f"{self._stage.page.url}mails/{mail.number}")


async def _watch(servers: Sequence[Server]) -> None:
    """Raise `Unavailable` when a server ends by itself."""
    while True:
        for server in servers:
            # `once` stops the daemon itself: its process is no longer the server's then.
            process = server.process
            if process is not None and process.poll() is not None:
                raise Unavailable(f"{server.name} ended by itself (exit code {process.returncode})")
        await asyncio.sleep(_WATCH_EVERY)


def _show_logs(servers: Sequence[Server], terminal: Terminal) -> None:
    for server in servers:
        lines = server.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        if lines:
            terminal.gap()
            terminal.line(f"the end of the log of {server.name}:")
            terminal.block("\n".join(lines))
