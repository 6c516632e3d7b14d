"""Acts by the web: what the buttons do, over HTTP, and who may press them (X12)."""

import base64
import json
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import aiohttp
import pytest

from kinto_notify.demo.servers import RedisServer
from kinto_notify.store.pauses import Pauses
from support.operator_site import HOSTILE, Site

TOKEN = "0123456789abcdef"
FROM_AFAR = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture
async def desk(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(redis_server.url, tmp_path, admin_token=TOKEN).open() as site:
        await site.happened()
        yield site


async def post(
    site: Site, act: str, token: str | None = TOKEN, headers: dict[str, str] | None = None, path: str = "/acts"
) -> tuple[int, str]:
    """Press a button."""
    form = {"act": act} | ({"token": token} if token is not None else {})
    async with aiohttp.request("POST", f"{site.url}{path}", data=form, headers=headers) as answer:
        return answer.status, unescape(await answer.text())


async def show(site: Site, headers: dict[str, str] | None = None) -> tuple[int, str]:
    async with aiohttp.request("GET", f"{site.url}/acts", headers=headers) as answer:
        return answer.status, unescape(await answer.text())


async def state(site: Site) -> tuple[dict[str, int], list[float], int]:
    """What is paused, when digests are due, how many dead letters there are."""
    due = await site.client.redis.zrange(site.client.key("due"), 0, -1, withscores=True)
    paused = await Pauses(site.client).all()
    return dict(paused), [score for _, score in due], await site.client.redis.zcard(site.client.key("dead"))


async def test_pause_and_resume(desk: Site) -> None:
    status, page = await post(desk, "pause file#articles")
    assert (status, "articles: paused." in page) == (200, True)
    assert set((await state(desk))[0]) == {"file#articles", "file#daily"}
    assert "articles: was paused already." in (await post(desk, "pause file#articles"))[1]
    assert "articles: resumed." in (await post(desk, "resume file#articles"))[1]
    assert set((await state(desk))[0]) == {"file#daily"}
    assert "All subscriptions: paused." in (await post(desk, "pause *"))[1]
    assert "daily: resumed, but all subscriptions are paused." in (await post(desk, "resume file#daily"))[1]
    assert "All subscriptions: resumed." in (await post(desk, "resume *"))[1]
    assert (await state(desk))[0] == {}


async def test_flush_makes_open_digests_due(desk: Site) -> None:
    now = await desk.client.time()
    assert min((await state(desk))[1]) > now + 60_000
    page = (await post(desk, "flush file#articles"))[1]
    assert "articles: 1 digest with 2 changes due now." in page
    due = (await state(desk))[1]
    assert [score <= await desk.client.time() for score in due].count(True) == 1
    # A hook's too, which no file names; and all.
    hook = f"/buckets/wiki/collections/notes#{HOSTILE}"
    assert f"{hook}: 1 digest with 2 changes due now." in (await post(desk, f"flush {hook}"))[1]
    assert "All subscriptions: 3 digests with 6 changes due now." in (await post(desk, "flush *"))[1]


async def test_dead_letters_are_tried_again_and_dropped_by_id_and_by_reason(desk: Site) -> None:
    ((ident),) = await desk.client.redis.zrange(desk.client.key("dead"), 0, -1)
    assert "1 dead letter will be tried again." in (await post(desk, f"retry {ident.decode()}"))[1]
    assert (await state(desk))[2] == 0
    status, page = await post(desk, f"drop {ident.decode()}")
    assert (status, "There is no such dead letter any more: nothing was done." in page) == (404, True)
    await bury(desk, "550 5.1.1 who? (at RCPT)", 3)
    await bury(desk, "given up: 3 days old", 2)
    assert "3 dead letters will be tried again." in (await post(desk, "retry-reason 550 5.1.1 at RCPT"))[1]
    assert "2 dead letters dropped." in (await post(desk, "drop-reason given up as too old"))[1]
    assert (await state(desk))[2] == 0
    assert (await post(desk, "drop-reason given up as too old"))[0] == 404


async def bury(site: Site, reason: str, number: int) -> None:
    """Make dead letters of entries that read like mails."""
    for _ in range(number):
        count = await site.client.redis.incr(site.client.key("count"))
        name = f"x{count}"
        body = json.dumps({"any": 1})
        fields = {"v": 1, "kind": "delivery", "reason": reason, "when": count, "entry_v": "1", "entry_event": body}
        await site.client.redis.hset(site.client.key(f"dead:{name}"), mapping=fields)
        await site.client.redis.zadd(site.client.key("dead"), {name: count})


@pytest.mark.parametrize(
    ("act", "status"),
    [("pause file#nobody", 404), ("flush nobody", 404), ("explode file#articles", 400), ("", 400), ("pause", 404)],
)
async def test_what_is_not_there_or_not_understood_changes_nothing(desk: Site, act: str, status: int) -> None:
    before = await state(desk)
    found, page = await post(desk, act)
    assert (found, "nothing was done." in page) == (status, True)
    assert await state(desk) == before


async def test_x12_without_the_token_nothing_happens_from_here_or_from_afar(desk: Site) -> None:
    before = await state(desk)
    basic = base64.b64encode(f"ops:{TOKEN}".encode()).decode()
    refused: list[tuple[str | None, dict[str, str]]] = [
        (None, {}),
        ("", {}),
        ("wrong", {}),
        (f"{TOKEN}0", {}),
        # A browser sends a login along with whatever another site makes it send.
        (None, {"Authorization": f"Basic {basic}"}),
        (None, FROM_AFAR | {"Authorization": f"Basic {basic}"}),
        # And it says when it is another site.
        (TOKEN, {"Sec-Fetch-Site": "cross-site"}),
        (TOKEN, {"Sec-Fetch-Site": "same-site"}),
    ]
    for token, headers in refused:
        status, page = await post(desk, "pause *", token, headers)
        assert (status, page) == (403, "this needs KINTO_NOTIFY_ADMIN_TOKEN; nothing was done\n")
    assert await state(desk) == before


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        (TOKEN, {}),
        (TOKEN, FROM_AFAR),
        (TOKEN, {"Sec-Fetch-Site": "same-origin"}),
        (None, {"Authorization": f"Bearer {TOKEN}"}),
        (None, FROM_AFAR | {"Authorization": f"Bearer {TOKEN}"}),
    ],
)
async def test_x12_with_the_token_it_does(desk: Site, token: str | None, headers: dict[str, str]) -> None:
    assert "articles: paused." in (await post(desk, "pause file#articles", token, headers))[1]


async def test_x12_the_page_is_not_for_everybody_and_the_token_not_in_it(desk: Site) -> None:
    assert (await show(desk))[0] == 200
    assert (await show(desk, FROM_AFAR))[0] == 401
    for page in ((await show(desk))[1], (await post(desk, "check"))[1], (await post(desk, "pause *"))[1]):
        assert TOKEN not in page
        for address in ("anna@", "ben@", "carl@", "editors@"):
            assert address not in page


async def test_x12_after_ten_wrong_tokens_a_minute_of_rest(desk: Site) -> None:
    for _ in range(10):
        assert (await post(desk, "check", "wrong"))[0] == 403
    assert (await post(desk, "pause *"))[0] == 429
    assert "*" not in (await state(desk))[0]


async def test_x12_another_site_cannot_keep_the_operator_out(desk: Site) -> None:
    """It can make a browser send forms, and would use up the guesses."""
    for _ in range(12):
        assert (await post(desk, "check", "wrong", {"Sec-Fetch-Site": "cross-site"}))[0] == 403
    assert (await post(desk, "check"))[0] == 200


async def test_a_broken_form_is_answered_and_logs_nothing(desk: Site, caplog: pytest.LogCaptureFixture) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    async with aiohttp.request("POST", f"{desk.url}/acts", data=b"act=check", headers=kind) as answer:
        assert (answer.status, await answer.text()) == (400, "this is no form; nothing was done\n")
    assert caplog.records == []


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("notify.example.org", 421), ("localhost", 200)])
async def test_x12_a_rebound_name_cannot_act(redis_server: RedisServer, tmp_path: Path, host: str, status: int) -> None:
    more = {
        "admin_token": TOKEN,
        "public_url": "https://notify.example.org",
        "secret": "a-secret-of-32-characters-length",
    }
    tables = '[[subscription]]\nname = "articles"\nrecipients = ["a@example.org"]\n'
    async with Site(redis_server.url, tmp_path, tables, **more).open() as site:
        assert (await post(site, "pause *", headers={"Host": host}))[0] == status
        assert bool(await Pauses(site.client).all()) is (status == 200)


async def test_x12_where_no_token_is_set_there_is_nothing_to_press(redis_server: RedisServer, tmp_path: Path) -> None:
    async with Site(redis_server.url, tmp_path).open() as site:
        assert "Nothing can be done here: KINTO_NOTIFY_ADMIN_TOKEN is not set." in (await show(site))[1]
        for token in (None, "", "None"):
            assert (await post(site, "pause *", token))[0] == 403
        assert not await Pauses(site.client).all()


async def test_looking_at_it_changes_nothing(desk: Site) -> None:
    async def changes() -> object:
        return (await desk.client.redis.info("persistence"))["rdb_changes_since_last_save"]

    before = await changes()
    for query in ("", "?act=pause%20*&token=" + TOKEN):
        async with aiohttp.request("GET", f"{desk.url}/acts{query}") as answer:
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
    assert await changes() == before
    assert "form-action 'self'" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy


async def test_a_form_too_large_is_refused(desk: Site) -> None:
    assert (await post(desk, "pause " + "x" * 20_000))[0] == 413


async def test_without_redis_it_says_so(tmp_path: Path) -> None:
    async with Site("redis://127.0.0.1:1/0", tmp_path, admin_token=TOKEN).open() as site:
        assert (await show(site))[0] == 503
        assert (await post(site, "pause *"))[0] == 503
