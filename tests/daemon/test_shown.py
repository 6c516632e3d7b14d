"""What a mail shows, from a write to a real Kinto to the inbox: what changed and nothing else, and never a secret."""

import json
from pathlib import Path

import redis

from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import DaemonProcess
from support.inbox import Letter, letters
from support.smtp_server import SmtpServerThread
from support.stream import eventually

COLLECTION = "/buckets/blog/collections/articles"
RECORDS = f"{COLLECTION}/records"
#: Known to Kinto alone, and known to all but the readers.
NEVER, UNSHOWN = "hushNever", "hushUnshown"


def put(kinto: KintoServer, path: str, data: dict[str, object], method: str = "PUT") -> None:
    status, body = kinto.request(method, path, json.dumps({"data": data}).encode())
    assert status in (200, 201), body


def about(smtp: SmtpServerThread, text: str) -> list[Letter]:
    return [letter for letter in letters(list(smtp.mails)) if text in letter.text]


def stored(client: "redis.Redis") -> bytes:
    """All that Redis holds, as it would write it to disk."""
    found = [key + (client.dump(key) or b"") for key in client.scan_iter("*")]
    entries = [str(client.xrange(key)).encode() for key in client.scan_iter("*:events")]
    return b"".join(found + entries)


def test_of_forty_fields_the_two_that_changed_and_no_secret_anywhere(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    table = tmp_path / "table.toml"
    table.write_text(
        '[[subscription]]\nname = "all"\nrecipients = ["anna@example.org"]\nredact = ["/email", "/profile/phone"]\n'
    )
    redacted = "kinto.event_listeners.notify.redact = /password /profile/card"
    settings = {"subscriptions": str(table), "digest_wait": "1s", "log_level": "DEBUG"}
    fields: dict[str, object] = {f"field{n:02}": f"value {n}" for n in range(40)}
    secret = {
        "password": f"{NEVER}1", "email": f"{UNSHOWN}1", "profile": {"phone": f"{UNSHOWN}2", "card": f"{NEVER}2"}
    }  # fmt: skip
    changed = {
        "password": f"{NEVER}3", "email": f"{UNSHOWN}3", "profile": {"phone": f"{UNSHOWN}4", "card": f"{NEVER}4"}
    }  # fmt: skip
    with (
        KintoServer(tmp_path, redis_server.url, redacted) as kinto,
        redis.Redis.from_url(redis_server.url) as client,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **settings) as daemon,
    ):
        put(kinto, "/buckets/blog", {})
        put(kinto, COLLECTION, {})
        put(kinto, f"{RECORDS}/r", fields | secret)
        eventually(lambda: about(smtp, "1 record created"))
        # Another group of readers takes its time: the entries stay in the stream.
        client.xgroup_create("{kinto-notify}:events", "slow", id="0")
        put(kinto, f"{RECORDS}/r", fields | {"field07": "seven", "field23": "twenty-three"} | changed)
        eventually(lambda: about(smtp, "1 record updated"))
        held = stored(client)
        assert daemon.stop() == 0
        log = daemon.log.read_bytes()
    (letter,) = about(smtp, "1 record updated")
    shown = [line.strip() for line in letter.text.splitlines() if line.startswith("    ")]
    assert shown == ["~ field07: value 7 → seven", "~ field23: value 23 → twenty-three"]
    html = letter.message.get_body(("html",)).get_content()
    assert html.count("<del>") == html.count("<ins>") == 2
    # The mail that tells of all forty tells of no secret either.
    for mail in smtp.mails:
        every = b"".join(part.get_payload(decode=True) or b"" for part in letters([mail])[0].message.walk())
        assert b"hush" not in mail.data + every
    assert b"hush" not in log
    spool = b"".join(path.read_bytes() for path in kinto.spool.rglob("*") if path.is_file())
    assert b"field07" in held
    assert b"field07" in spool
    for place in (held, spool):
        assert NEVER.encode() not in place
    # What a subscription hides has travelled to where others may be shown it.
    assert UNSHOWN.encode() in spool


def test_one_request_is_one_mail_also_without_a_digest_table(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    table = tmp_path / "table.toml"
    table.write_text(
        '[[subscription]]\nname = "plain"\nresource_name = "record"\nrecipients = ["plain@example.org"]\n'
        '[[subscription]]\nname = "request"\nresource_name = "record"\nrecipients = ["request@example.org"]\n'
        'digest = { wait = "1s", interval = "0s", group_by = "request_id" }\n'
    )
    settings = {"subscriptions": str(table), "digest_wait": "1s", "digest_interval": "1s"}
    with (
        KintoServer(tmp_path, redis_server.url) as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, **settings),
    ):
        put(kinto, "/buckets/blog", {})
        for name in ("articles", "pages"):
            put(kinto, f"/buckets/blog/collections/{name}", {})
        put(kinto, f"{RECORDS}/old", {"n": 1})
        put(kinto, f"{RECORDS}/gone", {"n": 1})
        eventually(lambda: sum("created" in one.subject for one in letters(list(smtp.mails))) >= 3)
        before = len(smtp.mails)
        requests = [
            *({"method": "PUT", "path": f"/v1{RECORDS}/new-{n}", "body": {"data": {"n": n}}} for n in range(5)),
            {"method": "PATCH", "path": f"/v1{RECORDS}/old", "body": {"data": {"n": 2}}},
            {"method": "DELETE", "path": f"/v1{RECORDS}/gone"},
            {"method": "PUT", "path": "/v1/buckets/blog/collections/pages/records/p", "body": {"data": {}}},
        ]
        status, body = kinto.request("POST", "/batch", json.dumps({"requests": requests}).encode())
        assert status == 200, body
        eventually(lambda: len(smtp.mails) >= before + 3)
    told = sorted((one.recipient, one.subject.partition(" by ")[0]) for one in letters(smtp.mails[before:]))
    assert told == [
        ("plain@example.org", "[blog/articles] 5 records created, 1 updated, 1 deleted"),
        ("plain@example.org", "[blog/pages] record p created"),
        ("request@example.org", "[blog] 6 records created, 1 updated, 1 deleted"),
    ]
