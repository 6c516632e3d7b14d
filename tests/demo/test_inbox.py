"""The SMTP inbox, spoken to with a real client."""

import asyncio

import pytest

from kinto_notify.demo.inbox import KEPT, Inbox
from kinto_notify.demo.servers import free_port
from support.letters import letter, send


async def test_a_mail_is_taken_apart() -> None:
    async with Inbox(free_port()) as inbox:
        source = letter("Grüße", "text ✓\n", "<p>html ✓</p>\n")
        await asyncio.to_thread(send, inbox.port, source)
        mail = await inbox.after(0)
    assert (mail.number, mail.subject, mail.sender) == (1, "Grüße", "Kinto <kinto@example.org>")
    assert (mail.to, mail.recipients) == ("Editors <editors@example.org>", ("editors@example.org",))
    assert mail.date == "Mon, 23 Nov 2026 15:00:00 +0000"
    assert (mail.text, mail.html) == ("text ✓\r\n", "<p>html ✓</p>\r\n")
    assert mail.source == source


async def test_newest_first_numbered_and_awaited_in_order() -> None:
    async with Inbox(free_port()) as inbox:
        waiting = asyncio.ensure_future(inbox.after(1))
        await asyncio.to_thread(send, inbox.port, letter("one"), letter("two"), letter("three"))
        assert (await waiting).subject == "two"
        assert [mail.subject for mail in inbox.mails] == ["three", "two", "one"]
        assert (inbox.newest, inbox.get(3), inbox.get(4)) == (3, inbox.mails[0], None)


async def test_it_keeps_the_last_ones() -> None:
    async with Inbox(free_port()) as inbox:
        await asyncio.to_thread(send, inbox.port, *[letter(str(number)) for number in range(KEPT + 3)])
        assert len(inbox.mails) == KEPT
        assert inbox.get(3) is None
        assert (await inbox.after(0)).number == 4


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"no header at all", "no header at all\r\n"),
        (b"Content-Type: text/plain; charset=no-such-one\r\n\r\ncaf\xc3\xa9\r\n", "café\r\n"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\r\n", "��\r\n"),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n", ""),
        (b"Subject: =?utf-8?b?not base64?=\r\nFrom: <<>>\r\n\r\nbody\r\n", "body\r\n"),
    ],
)
async def test_a_broken_mail_is_kept_all_the_same(source: bytes, text: str) -> None:
    async with Inbox(free_port()) as inbox:
        await asyncio.to_thread(send, inbox.port, source, letter("good"))
        assert (await inbox.after(0)).text == text
        assert (await inbox.after(1)).subject == "good"


async def test_it_closes_while_a_client_stays_connected() -> None:
    async with Inbox(free_port()) as inbox:
        _, writer = await asyncio.open_connection("127.0.0.1", inbox.port)
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", inbox.port)
    writer.close()
