"""An SMTP server that misbehaves on command, on asyncio, for the tests of everything that sends mail.

    async with SmtpServer() as server:     # in a synchronous test: with SmtpServerThread() as server:
        server.script["rcpt"] = "450 4.2.0 later"              # always
        server.script["dot"] = [drop(accept=True), "451 no"]   # the first time, the second time, then as it should be
        ...
        mails = await server.wait_for(1)

Phases: connect, ehlo, helo, starttls, auth, rset, mail, rcpt, data, dot, quit. Recipients script themselves by their
local part: `refuse-550@`, `defer-450@` at RCPT, `data-451@`, `dot-554@` there, `greylist@` 450 once per recipient;
`stall@` gets no answer at RCPT until `patience` is set.
"""

import asyncio
import base64
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from support.mail_linter import take
from support.smtp_script import Act, Connection, Hangup, Mail, Step, drop, hang, raw, say, tls_contexts

__all__ = ["Act", "Mail", "SmtpServer", "SmtpServerThread", "drop", "hang", "raw", "say", "tls_contexts"]


class SmtpServer:
    """A server on a free loopback port; its attributes may be changed at any time, and it may stop and start again."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        users: dict[str, str] | None = None,
        extensions: tuple[str, ...] = ("PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8"),
        cap: int | None = None,
        cap_reply: str = "421 4.7.0 too many connections",
        messages_per_connection: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.tls, self.implicit, self.users, self.extensions = tls, implicit, users, extensions
        self.cap, self.cap_reply, self.messages_per_connection = cap, cap_reply, messages_per_connection
        self.host, self.port = host, 0
        self.script: dict[str, Step] = {}
        self.mails: list[Mail] = []
        #: Every connection ever made, also those that were refused; those that stand now; the most at once.
        self.connections: list[Connection] = []
        self.open: set[Connection] = set()
        self.most = 0
        #: How many connections were refused for the cap.
        self.refused = 0
        #: How often each phase was reached.
        self.reached: Counter[str] = Counter()
        self.patience = asyncio.Event()
        self._grey: set[str] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What stands in SMTP_URL."""
        return f"{'smtps' if self.implicit else 'smtp'}://{self.host}:{self.port}"

    async def start(self) -> Self:
        """Listen; on the same port as before if it was stopped."""
        context = self.tls if self.implicit else None
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, ssl=context, limit=1 << 26, backlog=512, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Refuse new connections and cut the ones that stand, as a crash would."""
        if self._server is None:
            return
        self._server.close()
        standing = list(self.open)
        for connection in standing:
            connection.writer.transport.abort()
            connection.task.cancel()
        await asyncio.gather(*(connection.task for connection in standing), return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def wait_for(self, count: int, timeout: float = 20.0) -> list[Mail]:  # noqa: ASYNC109 - a test's patience
        """Return the messages once there are so many."""
        await self.until(lambda: len(self.mails) >= count, timeout, f"{count} mails")
        return self.mails

    async def saw(self, phase: str, times: int = 1) -> None:
        """Return when a phase has been reached so often."""
        await self.until(lambda: self.reached[phase] >= times, what=f"{times} {phase}")

    async def until(self, done: Callable[[], bool], timeout: float = 20.0, what: str = "a condition") -> None:  # noqa: ASYNC109
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited for {what} in vain: {len(self.mails)} mails, {dict(self.reached)}")
            await asyncio.sleep(0.005)

    # --- one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(len(self.connections), reader, writer, task, tls=self.implicit)
        self.connections.append(connection)
        standing = sum(not other.ended for other in self.open)
        refused = self.cap is not None and standing >= self.cap
        if not refused:
            self.open.add(connection)
            self.most = max(self.most, standing + 1)
        try:
            if refused:
                self.refused += 1
                await self._act(connection, say(self.cap_reply, close=True))
            await self._step(connection, "connect", "220 test.invalid ESMTP")
            while line := await reader.readline():
                connection.lines.append(line.rstrip(b"\r\n"))
                await self._command(connection, line)
        except (Hangup, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(connection)
            writer.close()
            with suppress(OSError, asyncio.CancelledError, ssl.SSLError):
                await writer.wait_closed()

    async def _command(self, connection: Connection, line: bytes) -> None:
        verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
        known = {"EHLO": self._ehlo, "STARTTLS": self._starttls, "AUTH": self._auth, "MAIL": self._mail}
        known |= {"RCPT": self._rcpt, "DATA": self._data}
        if verb.upper() in known:
            await known[verb.upper()](connection, rest)
        elif verb.upper() == "HELO":
            await self._step(connection, "helo", "250 test.invalid")
        elif verb.upper() == "RSET":
            connection.reset()
            await self._step(connection, "rset", "250 2.0.0 clean")
        elif verb.upper() == "QUIT":
            await self._step(connection, "quit", say("221 2.0.0 bye", close=True))
        else:
            await self._act(connection, say("500 5.5.1 what?"))

    async def _ehlo(self, connection: Connection, _: str) -> None:
        connection.reset()
        words = ["test.invalid", *self.extensions]
        if self.tls is not None and not connection.tls:
            words.append("STARTTLS")
        if self.users is not None and (connection.tls or self.tls is None):
            words.append("AUTH PLAIN LOGIN")
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        await self._step(connection, "ehlo", "\n".join(lines))

    async def _starttls(self, connection: Connection, _: str) -> None:
        assert self.tls is not None
        if (await self._step(connection, "starttls", "220 2.0.0 go")).reply[:1] == b"2":
            await connection.writer.start_tls(self.tls)
            connection.tls = True

    async def _auth(self, connection: Connection, rest: str) -> None:
        method, _, first = rest.partition(" ")
        if method.upper() == "PLAIN":
            _, user, password = base64.b64decode(first).decode().split("\0")
        else:
            await self._act(connection, say("334 UGFzc3dvcmQ6"))
            second = (await connection.reader.readline()).strip()
            user, password = base64.b64decode(first).decode(), base64.b64decode(second).decode()
        right = (self.users or {}).get(user) == password
        act = await self._step(connection, "auth", "235 2.7.0 welcome" if right else "535 5.7.8 wrong password")
        connection.user = user if act.reply[:1] == b"2" else None

    async def _mail(self, connection: Connection, rest: str) -> None:
        normal = "250 2.1.0 ok"
        limit = self.messages_per_connection
        if limit is not None and connection.messages >= limit:
            await self._act(connection, say("421 4.7.0 too many messages", close=True))
        if self.users is not None and connection.user is None:
            normal = "530 5.7.0 log in first"
        elif connection.sender is not None:
            normal = "503 5.5.1 nested MAIL"
        found = re.fullmatch(r"FROM:<([^<>]*)>(.*)", rest, re.IGNORECASE)
        act = await self._step(connection, "mail", normal if found else "501 5.5.4 syntax")
        if found and act.reply[:1] == b"2":
            connection.sender, connection.options = found[1], tuple(found[2].split())

    async def _rcpt(self, connection: Connection, rest: str) -> None:
        found = re.fullmatch(r"TO:<([^<>]+)>(.*)", rest, re.IGNORECASE)
        address = found[1] if found else ""
        normal = "250 2.1.5 ok" if found else "501 5.5.4 syntax"
        own = re.match(r"(?:refuse|defer)-(\d{3})", address)
        if connection.sender is None:
            normal = "503 5.5.1 MAIL first"
        elif own:
            normal = f"{own[1]} {own[1][0]}.1.1 as the address says"
        elif address.startswith("greylist") and address not in self._grey:
            self._grey.add(address)
            normal = "450 4.2.0 greylisted"
        elif address.startswith("stall@"):
            self.reached["stall"] += 1
            await self.patience.wait()
        if (await self._step(connection, "rcpt", normal)).reply[:1] == b"2":
            connection.recipients.append(address)

    async def _data(self, connection: Connection, _: str) -> None:
        normal = self._addressed(connection, "data") or "354 go ahead"
        if not connection.recipients:
            normal = "554 5.5.1 no valid recipients"
        if (await self._step(connection, "data", normal)).reply[:3] != b"354":
            return
        lines: list[bytes] = []
        while (line := await connection.reader.readline()) != b".\r\n":
            if not line.endswith(b"\n"):
                raise Hangup
            lines.append(line)
        self.reached["body"] += 1
        mail = Mail(
            sender=connection.sender or "",
            recipients=tuple(connection.recipients),
            raw=b"".join(lines),
            at=time.monotonic(),
            connection=connection.number,
            options=connection.options,
            tls=connection.tls,
            user=connection.user,
        )
        normal = self._addressed(connection, "dot") or "250 2.0.0 queued"
        connection.messages += 1
        connection.reset()
        await self._step(connection, "dot", normal, mail)

    def _addressed(self, connection: Connection, phase: str) -> str | None:
        """What a recipient's local part asks for in a phase."""
        for address in connection.recipients:
            own = re.match(rf"{phase}-(\d{{3}})", address)
            if own:
                return f"{own[1]} {own[1][0]}.3.0 as the address says"
        return None

    async def _step(self, connection: Connection, phase: str, normal: str | Act, mail: Mail | None = None) -> Act:
        """Do what the script says for a phase, or what is normal; keep `mail` if that takes it."""
        self.reached[phase] += 1
        step = self.script.get(phase, normal)
        if isinstance(step, list):
            step = step.pop(0) if step else normal
        act = say(step) if isinstance(step, str) else step
        if mail is not None and (act.reply[:1] == b"2" if act.accept is None else act.accept):
            self.mails.append(mail)
            take(mail.data)
        await self._act(connection, act)
        return act

    async def _act(self, connection: Connection, act: Act) -> None:
        if act.gate is not None:
            await act.gate.wait()
        for _ in range(act.times if act.reply else 0):
            connection.writer.write(act.reply)
            await connection.writer.drain()
        if act.then:
            await asyncio.sleep(0)
            connection.writer.write(act.then)
            await connection.writer.drain()
        if act.hang:
            while await connection.reader.read(65536):
                pass
            raise Hangup
        if act.close:
            raise Hangup


class SmtpServerThread:
    """The same server in a thread of its own, for synchronous tests; `server` is the one inside."""

    def __init__(self, server: SmtpServer | None = None) -> None:
        self.server = server or SmtpServer()
        #: The very list of the server: it grows while one looks at it.
        self.mails = self.server.mails
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-server", daemon=True)

    @property
    def url(self) -> str:
        return self.server.url

    def start(self) -> Self:
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(20)
        return self

    def stop(self) -> None:
        """Cut everything; `start` listens on the same port again."""
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(20)

    def be_patient(self) -> None:
        """Answer those that stall."""
        self._loop.call_soon_threadsafe(self.server.patience.set)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Mail]:
        return asyncio.run_coroutine_threadsafe(self.server.wait_for(count, timeout), self._loop).result(timeout + 5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
