"""`/u/TOKEN`, spoken to byte by byte, with a real Redis behind it (X11, X12)."""

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.demo.servers import RedisServer, free_port
from kinto_notify.inbox_link import InboxLinks
from kinto_notify.store.client import Client
from kinto_notify.store.preferences import Preferences, key_of
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.inbox import InboxPages
from kinto_notify.web.server import WebServer
from kinto_notify.wish import DAY_MS, EVERY, WEEK_MS, Preference, Wish

ANN, BEN = Mailbox("Ann", "ann@example.org"), Mailbox("", "ben@example.org")
S, HOOK = "file#articles", "/buckets/blog#<b>Résumé</b>"
HOST = "notify.example.org"
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


_PARTS = "multipart/form-data; boundary=b"
_NAME = b"--b\r\nContent-Disposition: form-data; name="
#: Kind, body, further fields: each is broken in another way, and each was an error of the server once.
NO_FORMS = [
    pytest.param(f"{FORM}; charset=nonsense", ONE_CLICK, "", id="charset"),
    pytest.param(_PARTS, b"--b\r\nno header", "", id="header"),
    pytest.param(_PARTS, _NAME + b"_charset_\r\n\r\nx\r\n" + _NAME + b"act\r\n\r\nz\r\n--b--\r\n", "", id="default"),
    pytest.param(_PARTS, _NAME + b"a\r\nContent-Type: text/plain; charset=x\r\n\r\nz\r\n--b--\r\n", "", id="part"),
    pytest.param(FORM, b"no gzip", "Content-Encoding: gzip\r\n", id="gzip"),
]


class Answer:
    """An answer, parsed."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        self.text = self.body.decode()

    @property
    def acts(self) -> list[str]:
        """The buttons of the page."""
        return re.findall(r'<button name="act" value="([a-z-]+)">', self.text)


class Door:
    """A server with pages of recipients; two of them may share a Redis."""

    def __init__(self, client: Client) -> None:
        self.port = free_port()
        self.links = InboxLinks(f"https://{HOST}", "t", ("0123456789abcdef",))
        self.preferences = Preferences(client)
        self.telemetry = Telemetry()

    def server(self) -> WebServer:
        return WebServer(
            ("127.0.0.1", self.port),
            stalled=list,
            unready=list,
            metrics=self.telemetry.exposition,
            public_host=HOST,
            inbox=InboxPages(self.links, self.preferences, self.telemetry),
        )

    def path(self, who: Mailbox = ANN, identity: str = S) -> str:
        return "/u/" + self.links.token(who.fingerprint, identity, int(time.time() * 1000))

    async def wish(self, who: Mailbox = ANN, identity: str = S) -> Preference:
        return (await self.preferences.of(who.fingerprint)).get(key_of(identity), Preference())

    async def send(self, raw: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            async with asyncio.timeout(60):
                return Answer(await reader.read())
        finally:
            writer.close()

    async def get(self, path: str, method: str = "GET", host: str = HOST) -> Answer:
        return await self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    async def post(self, path: str, body: bytes = ONE_CLICK, kind: str = FORM, more: str = "") -> Answer:
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{more}"
        return await self.send(f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    async def act(self, name: str, path: str | None = None) -> Answer:
        return await self.post(path or self.path(), f"act={name}".encode())


@pytest.fixture
async def door(client: Client) -> AsyncIterator[Door]:
    made = Door(client)
    async with made.server():
        yield made


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_x11_looking_changes_nothing(door: Door, client: Client, method: str) -> None:
    """Scanners of mail follow its links, with whatever they find on the page."""
    for query in ("", "?act=unsubscribe", "?List-Unsubscribe=One-Click"):
        answer = await door.get(door.path() + query, method)
        assert answer.status == 200
    assert await client.redis.keys(client.key("*")) == []


async def test_x11_one_click_stops_that_person_and_that_subscription(door: Door) -> None:
    answer = await door.post(door.path())
    assert (answer.status, answer.body) == (200, b"unsubscribed\n")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in answer.headers
    assert (await door.wish()).wish is Wish.OFF
    assert await door.wish(identity="file#other") == await door.wish(BEN) == Preference()


async def test_x11_one_click_as_a_form_of_parts(door: Door) -> None:
    """RFC 8058 3.2 allows both."""
    body = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
    answer = await door.post(door.path(), body, "multipart/form-data; boundary=b")
    assert (answer.status, answer.body) == (200, b"unsubscribed\n")
    assert (await door.wish()).wish is Wish.OFF


async def test_x11_a_replay_does_nothing_more(door: Door) -> None:
    path = door.path()
    first, second = await door.post(path), await door.post(path)
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert await door.preferences.of(ANN.fingerprint) == {key_of(S): Preference(Wish.OFF)}


async def test_what_the_buttons_do(door: Door) -> None:
    shown = await door.get(door.path())
    assert shown.acts == ["unsubscribe", "daily", "mute-day", "mute-week"]
    for act, span in (("mute-day", DAY_MS), ("mute-week", WEEK_MS)):
        muted = await door.act(act)
        assert muted.acts == ["resubscribe", "unsubscribe"]
        now = (await door.preferences.show(ANN.fingerprint, key_of(S))).now
        assert now + span - 60_000 < (await door.wish()).muted_until <= now + span
        assert "Muted" in muted.text
    daily = await door.act("daily")
    assert daily.acts == ["resubscribe", "unsubscribe", "mute-day", "mute-week"]
    assert "One mail a day of this subscription comes to you" in daily.text
    assert await door.wish() == Preference(Wish.DAILY)
    stopped = await door.act("unsubscribe")
    assert "You are unsubscribed" in stopped.text
    assert stopped.acts == (await door.get(door.path())).acts == ["resubscribe"]
    assert (await door.wish()).wish is Wish.OFF
    again = await door.act("resubscribe")
    assert again.acts == shown.acts
    assert await door.wish() == Preference()


async def test_the_page_names_the_subscription_and_escapes_it(door: Door) -> None:
    assert "Mails of this subscription come to you." in (await door.get(door.path())).text
    await door.preferences.act(ANN.fingerprint, key_of(HOOK), "off", identity=HOOK)
    page = (await door.get(door.path(identity=HOOK))).text
    assert "No more mails of the subscription “&lt;b&gt;Résumé&lt;/b&gt;”, in the metadata of the bucket blog," in page
    assert "ann@" not in page


async def test_who_was_stopped_by_the_operator_is_told_so(door: Door) -> None:
    await door.preferences.act(ANN.fingerprint, EVERY, "off")
    page = await door.get(door.path())
    assert "were stopped by whoever runs this Kinto" in page.text
    assert page.acts == []


async def test_the_page_needs_nothing_but_itself(door: Door) -> None:
    page = await door.get(door.path())
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    told = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert f"style-src 'sha256-{told}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert re.findall(r"(?:src|href|action)=\"([^\"]*)\"", page.text) == ["data:,"]
    assert "<script" not in page.text
    for name, text in {
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "x-robots-tag": "noindex, nofollow",
        "x-content-type-options": "nosniff",
    }.items():
        assert page.headers[name] == text


async def test_x11_every_bad_token_gets_the_same_answer(door: Door, client: Client) -> None:
    good = door.path()
    other = InboxLinks(f"https://{HOST}", "another", door.links.secrets)
    old = InboxLinks(f"https://{HOST}", "t", ("a-secret-of-before",))
    bad = [
        "/u/x",
        good[:-1],
        good + "A",
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "/u/" + "A" * 64,
        "/u/%00%ff",
        "/u/" + other.token(ANN.fingerprint, S, int(time.time() * 1000)),
        "/u/" + old.token(ANN.fingerprint, S, int(time.time() * 1000)),
        "/u/" + door.links.token(ANN.fingerprint, S, 1_577_836_800_000),
    ]
    answers = [*[await door.get(path) for path in bad], *[await door.post(path) for path in bad]]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    told = [{name: text for name, text in answer.headers.items() if name != "date"} for answer in answers]
    assert told.count(told[0]) == len(told)
    assert await client.redis.keys(client.key("*")) == []


@pytest.mark.parametrize(
    "body", [b"", b"act=", b"act=delete", b"act=daily%00", b"List-Unsubscribe=Two-Clicks", b"\xff\xfe=%zz", b"&" * 500]
)
async def test_what_is_no_act_changes_nothing(door: Door, client: Client, body: bytes) -> None:
    assert (await door.post(door.path(), body)).status == 400
    assert await client.redis.keys(client.key("*")) == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=x"]
)
async def test_what_is_no_form_changes_nothing(door: Door, client: Client, kind: str) -> None:
    assert (await door.post(door.path(), ONE_CLICK, kind)).status == 400
    assert await client.redis.keys(client.key("*")) == []


@pytest.mark.parametrize(("kind", "body", "more"), NO_FORMS)
async def test_x12_a_broken_form_is_answered_and_logs_nothing(
    door: Door, client: Client, caplog: pytest.LogCaptureFixture, kind: str, body: bytes, more: str
) -> None:
    assert (await door.post(door.path(), body, kind, more)).status == 400
    assert await client.redis.keys(client.key("*")) == []
    assert caplog.records == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_no_other_method(door: Door, method: str) -> None:
    assert (await door.get(door.path(), method)).status == 405


async def test_x12_a_huge_body_is_refused(door: Door) -> None:
    assert (await door.post(door.path(), ONE_CLICK + b"&x=" + b"x" * 9_000)).status == 413
    parts = b'--b\r\nContent-Disposition: form-data; name="x"; filename="f"\r\n\r\n' + b"x" * 9_000 + b"\r\n--b--\r\n"
    assert (await door.post(door.path(), parts, "multipart/form-data; boundary=b")).status == 413
    assert await door.wish() == Preference()


async def test_x12_a_body_that_never_ends_is_not_waited_for(door: Door) -> None:
    """And others are served meanwhile."""
    head = f"POST {door.path()} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nContent-Length: 26\r\n\r\n"
    slow = asyncio.create_task(door.send(head.encode() + ONE_CLICK[:-1]))
    assert (await door.get(door.path(BEN))).status == 200
    assert (await slow).status == 408
    assert await door.wish() == Preference()


@pytest.mark.parametrize(
    ("host", "status"), [(HOST, 200), (f"{HOST}:443", 200), ("localhost", 200), ("evil.example", 421)]
)
async def test_x12_it_answers_under_its_own_names_only(door: Door, host: str, status: int) -> None:
    assert (await door.get(door.path(), host=host)).status == status
    assert (await door.get("/metrics", host=HOST)).status == 421
    assert (await door.get("/u/", host=HOST)).status == 404
    for way in ("/u/../metrics", "/u/%2e%2e/metrics", "/u/..%2fmetrics", "//u/../readyz", "/u/x/../../"):
        assert (await door.get(way, host=HOST)).status in (404, 421)


async def test_one_link_cannot_keep_redis_busy(door: Door) -> None:
    path = door.path()
    found = [(await door.get(path)).status for _ in range(31)]
    assert found == [200] * 30 + [429]
    assert (await door.post(path)).headers["retry-after"] == "60"
    assert (await door.post(door.path(BEN))).status == 200


async def test_without_redis_it_says_so(client: Client) -> None:
    away = Client("redis://127.0.0.1:1/0", "t")
    door = Door(away)
    async with door.server():
        for answer in (await door.get(door.path()), await door.post(door.path())):
            assert (answer.status, answer.headers["retry-after"]) == (503, "60")
            assert "Try again in a minute" in answer.text
    await away.close()


async def test_what_one_daemon_was_told_another_knows(door: Door, redis_server: RedisServer, client: Client) -> None:
    again = Client(redis_server.url, client.prefix.strip("{}"))
    other = Door(again)
    async with other.server():
        await door.post(door.path())
        assert (await other.get(other.path())).acts == ["resubscribe"]
    await again.close()


async def test_the_log_and_the_metrics_name_nobody(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    path = door.path()
    for act in ("mute-day", "resubscribe", "unsubscribe"):
        await door.act(act, path)
    await door.post(path)
    told = capsys.readouterr().out
    assert path[3:] not in told
    assert "ann@" not in told
    assert told.count(f"sha256:{ANN.fingerprint[:12]}") == 4
    body = door.telemetry.exposition().decode()
    for act in ("mute-day", "resubscribe", "unsubscribe", "one-click"):
        assert f'kinto_notify_inbox_acts_total{{kind="{act}"}} 1.0' in body
