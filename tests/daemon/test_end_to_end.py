"""A write to a real Kinto becomes a mail: every change once, with true old and new values."""

import json
from pathlib import Path

from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import DaemonProcess
from support.inbox import Told, letters
from support.mail_linter import lint
from support.smtp_server import SmtpServerThread
from support.stream import eventually

BUCKET = "/buckets/blog"
COLLECTION = f"{BUCKET}/collections/articles"
RECORDS = f"{COLLECTION}/records"


def put(kinto: KintoServer, path: str, data: dict[str, object], method: str = "PUT") -> None:
    status, body = kinto.request(method, path, json.dumps({"data": data}).encode())
    assert status in (200, 201), body


def write_everything(kinto: KintoServer) -> set[Told]:
    """Write in every way that Kinto has; return what the mails must tell, field by field."""
    expected = {
        Told("create", BUCKET, "/theme", "", "calm"),
        Told("create", COLLECTION, "", "", ""),
        Told("create", f"{BUCKET}/groups/editors", "/members", "", '["basicauth:anna"]'),
    }
    put(kinto, BUCKET, {"theme": "calm"})
    put(kinto, COLLECTION, {})
    put(kinto, f"{BUCKET}/groups/editors", {"members": ["basicauth:anna"]})
    put(kinto, f"{RECORDS}/one", {"title": "One", "n": 1})
    expected |= {
        Told("create", f"{RECORDS}/one", "/title", "", "One"),
        Told("create", f"{RECORDS}/one", "/n", "", "1"),
    }
    put(kinto, f"{RECORDS}/one", {"title": "Eins"}, "PATCH")
    expected.add(Told("update", f"{RECORDS}/one", "/title", "One", "Eins"))
    requests = [
        {"method": "PUT", "path": f"/v1{RECORDS}/many-{n}", "body": {"data": {"title": f"Batch {n}"}}}
        for n in range(25)
    ]
    status, body = kinto.request("POST", "/batch", json.dumps({"requests": requests}).encode())
    assert status == 200, body
    expected |= {Told("create", f"{RECORDS}/many-{n}", "/title", "", f"Batch {n}") for n in range(25)}
    assert kinto.request("DELETE", f"{RECORDS}?like_title=Batch")[0] == 200
    expected |= {Told("delete", f"{RECORDS}/many-{n}", "/title", f"Batch {n}", "") for n in range(25)}
    assert kinto.request("DELETE", f"{RECORDS}/one")[0] == 200
    expected |= {
        Told("delete", f"{RECORDS}/one", "/title", "Eins", ""),
        Told("delete", f"{RECORDS}/one", "/n", "1", ""),
    }
    return expected


def test_every_change_is_told_once(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> None:
    with (
        KintoServer(tmp_path, redis_server.url) as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **machine) as daemon,
    ):
        expected = write_everything(kinto)
        eventually(lambda: len([one for letter in letters(smtp.mails) for one in letter.told()]) >= len(expected))
        assert daemon.stop() == 0
    found = [one for letter in letters(smtp.mails) for one in letter.told()]
    assert len(found) == len(expected)
    assert set(found) == expected
    # 5 writes of one object, a batch of 25, a plural delete of 25, and a delete.
    assert sum(letter.total() for letter in letters(smtp.mails)) == 5 + 25 + 25 + 1
    assert [problem for mail in smtp.mails for problem in lint(mail.data)] == []


def test_the_built_in_mail_of_a_digest(tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread) -> None:
    settings = {"recipients": "Anna <anna@example.org>, ben@example.org", "digest_wait": "1s"}
    with (
        KintoServer(tmp_path, redis_server.url) as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **settings),
    ):
        put(kinto, BUCKET, {})
        put(kinto, COLLECTION, {})
        for n in range(5):
            put(kinto, f"{RECORDS}/{n}", {"title": f"Article {n}", "status": "draft"})
        put(kinto, f"{RECORDS}/0", {"status": "published"}, "PATCH")
        eventually(lambda: sum("Article 4" in letter.text for letter in letters(smtp.mails)) == 2)
    found = [letter for letter in letters(smtp.mails) if "Article 4" in letter.text]
    assert {letter.recipient for letter in found} == {"anna@example.org", "ben@example.org"}
    assert len({letter.ident for letter in found}) == 2
    assert {letter.subject for letter in found} == {
        "[blog/articles] 5 records created, 1 updated, 1 collection created"
    }
    assert all("~ status: draft → published" in letter.text for letter in found)
    assert [problem for mail in smtp.mails for problem in lint(mail.data)] == []
