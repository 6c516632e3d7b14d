"""remote-settings' smoke test: a hook on a review, an address and a group, one mail to each; all by the real programs.

After `browser-tests/plugins/test_email.py` of remote-settings, with a stand-in for its signer (`hooks.signer`).
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hooks.served import SignedKinto
from kinto_notify.demo.servers import KintoServer, RedisServer
from support.daemon import DaemonProcess
from support.inbox import letters
from support.mail_linter import lint
from support.smtp_server import SmtpServerThread
from support.stream import eventually

BUCKET, COLLECTION = "/buckets/main-workspace", "/buckets/main-workspace/collections/cfr"
HOOK = {
    "event": "hooks.signer.ReviewRequested",
    "subject": "{user_id} requested review on {bucket_id}/{collection_id}.",
    "template": "Review it: {root_url}admin/#/buckets/{bucket_id}/collections/{collection_id}\n{comment}",
    "recipients": ["me@you.com", "/buckets/main-workspace/groups/{collection_id}-reviewers"],
}


@pytest.fixture
def smtp() -> Iterator[SmtpServerThread]:
    with SmtpServerThread() as server:
        yield server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def ask(kinto: KintoServer, method: str, path: str, data: dict[str, object]) -> None:
    status, body = kinto.request(method, path, json.dumps({"data": data}).encode())
    assert status in (200, 201), body


def test_a_review_is_mailed_once_to_the_address_and_to_each_of_the_group(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread
) -> None:
    with (
        SignedKinto(tmp_path, redis_server.url) as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url, allowed_recipients="*"),
    ):
        ask(kinto, "PUT", BUCKET, {})
        ask(kinto, "PUT", f"{BUCKET}/groups/cfr-reviewers", {"members": ["ldap:rev@example.org", "account:bot"]})
        ask(kinto, "PUT", COLLECTION, {})
        ask(kinto, "PATCH", BUCKET, {"kinto-emailer": {"hooks": [HOOK]}})
        ask(kinto, "PUT", f"{COLLECTION}/records/tip", {"title": "Tip"})
        ask(kinto, "PATCH", COLLECTION, {"status": "to-review", "last_editor_comment": "please look"})
        # A second one, so that all of the first has come when its mails have.
        ask(kinto, "PATCH", COLLECTION, {"status": "work-in-progress"})
        ask(kinto, "PATCH", COLLECTION, {"status": "to-review", "last_editor_comment": "and again"})
        eventually(lambda: sum("and again" in letter.text for letter in letters(smtp.mails)) == 2)
    assert [problem for mail in smtp.mails for problem in lint(mail.data)] == []
    found = letters(smtp.mails)
    assert sorted(letter.message["To"] for letter in found) == ["me@you.com"] * 2 + ["rev@example.org"] * 2
    first = [letter for letter in found if "please look" in letter.text]
    assert sorted(letter.recipient for letter in first) == ["me@you.com", "rev@example.org"]
    assert {letter.subject.partition(" ")[2] for letter in first} == {"requested review on main-workspace/cfr."}
    assert {letter.text.splitlines()[0].partition("/v1/")[2] for letter in first} == {
        "admin/#/buckets/main-workspace/collections/cfr"
    }


def test_a_hook_end_to_end(tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread) -> None:
    hooks = [
        {"template": "{action} {id}", "subject": "It is {id}", "recipients": ["ann@example.org"], "record_id": "^r"},
        {"template": "out", "recipients": ["eve@evil.example"]},
    ]
    with (
        KintoServer(tmp_path, redis_server.url, "kinto.event_listeners.notify.hooks = true") as kinto,
        DaemonProcess(tmp_path, redis_server.url, smtp.url) as daemon,
    ):
        ask(kinto, "PUT", BUCKET, {})
        ask(kinto, "PUT", COLLECTION, {"kinto-emailer": {"hooks": hooks}})
        for ident in ("r1", "x1", "r2"):
            ask(kinto, "PUT", f"{COLLECTION}/records/{ident}", {"title": "Tip"})
        eventually(lambda: any("r2" in letter.subject for letter in letters(smtp.mails)))
        eventually(lambda: len(smtp.mails) >= 2)
        assert "evil.example" not in daemon.log.read_text()
    assert sorted((letter.recipient, letter.subject, letter.text.strip()) for letter in letters(smtp.mails)) == [
        ("ann@example.org", "It is r1", "create r1"),
        ("ann@example.org", "It is r2", "create r2"),
    ]
