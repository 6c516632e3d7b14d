"""`explain`: which filter failed first, or which digest and mail an event went to, with the last reply."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread

TABLE = """
[[subscription]]
name = "articles"
collection_id = ["articles", "^essay"]
recipients = ["anna@example.org", "refuse-550@example.org"]

[[subscription]]
name = "published"
recipients = ["ben@example.org"]
where = { "/status" = ["published", "^final"] }

[[subscription]]
name = "titles"
recipients = ["carl@example.org"]
changed = ["/title"]
action = "!delete"

[[subscription]]
name = "others"
recipients = ["alice@example.org"]
exclude_actor = true
collection_id = "letters"
"""
HIDDEN = "nobody-may-read-this"


@pytest.fixture
def library(desk: Desk, tmp_path: Path) -> Desk:
    table = tmp_path / "subscriptions.toml"
    table.write_text(TABLE)
    desk.variables |= {"subscriptions": str(table), "recipients": ""}
    return desk


def written(tmp_path: Path, one: dict[str, Any]) -> str:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(one))
    return str(path)


def poem(**data: Any) -> dict[str, Any]:
    record = {"id": "r1", "title": "A", "status": HIDDEN}
    return event(change("r1", old=record, new=record), action="update", collection_id="poems", **data)


def test_a_file_offline_names_the_filter(nowhere: Desk, library: Desk, tmp_path: Path) -> None:
    """No Redis, and the content of a record is told by its kind only."""
    nowhere.variables |= {"subscriptions": library.variables["subscriptions"], "recipients": ""}
    done = nowhere("explain", written(tmp_path, poem()))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        "file#articles: does not want it",
        "  collection_id: wants articles or ^essay; there is 'poems'",
        "file#published: does not want it",
        "  where /status: wants 'published' or ^final; there is a string",
        "file#titles: does not want it",
        "  changed: wants /title; there is none of them differs",
        "file#others: does not want it",
        "  collection_id: wants letters; there is 'poems'",
    ]
    assert HIDDEN not in done.stdout


def test_standard_input_and_what_it_would_become(library: Desk) -> None:
    letter = event(change("r1"), collection_id="letters", user_id="account:alice@example.org")
    done = library.run("explain", "-", stdin=json.dumps(letter))
    lines = done.stdout.splitlines()
    assert "file#others: wants it, but nobody may hear of it: the actor alone, or no address that is allowed" in lines
    (at,) = [index for index, line in enumerate(lines) if line == "file#titles: wants it"]
    assert lines[at + 1].endswith(" of bucket_id b, collection_id letters")


def test_who_is_not_known_is_not_told(nowhere: Desk, library: Desk, tmp_path: Path) -> None:
    nowhere.variables |= {"subscriptions": library.variables["subscriptions"], "recipients": ""}
    for user, told in (("account:alice", ", by account:alice"), ("", "")):
        (first, *_) = nowhere("explain", written(tmp_path, poem(user_id=user))).stdout.splitlines()
        assert first.endswith(f"record update, 1 changes{told}")


def test_some_changes_of_many(library: Desk, tmp_path: Path) -> None:
    """Three of four are not wanted, for two reasons."""
    changes = [
        change(f"r{number}", new={"id": f"r{number}", "status": status})
        for number, status in enumerate(("published", 7, 8, None))
    ]
    told = json.loads(library("explain", "--json", written(tmp_path, event(*changes))).stdout)
    (published,) = [one for one in told["verdicts"] if one["subscription"] == "file#published"]
    assert len(published["digests"]) == 1
    assert [(one["seen"], one["changes"]) for one in published["refused"]] == [("a number", 2), ("null", 1)]


def explained(desk: Desk, ident: str) -> dict[str, Any]:
    done = desk("explain", "--json", ident)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_the_way_of_an_event_by_its_id(library: Desk, smtp: SmtpServerThread) -> None:
    """From the stream to the last reply, at every station."""
    record = {"id": "r1", "title": "B", "status": "draft"}
    one = event(change("r1", new=record), collection_id="articles")
    library.publish(one)
    told = explained(library, one["id"])
    assert (told["in_hand"], told["filed"]) == (True, None), "in the stream, and not filed yet"
    assert library("run", "--once", digest_wait="1h").returncode == 0
    told = explained(library, one["id"])
    assert [(gone["identity"], gone["state"]) for gone in told["filed"]["digests"]] == [
        ("file#articles", "open"),
        ("file#titles", "open"),
    ]
    library("pause", "titles")
    library("flush", "articles")
    smtp.server.script["rcpt"] = ["250 2.1.5 ok", "550 5.1.1 never heard of"]
    assert library("run", "--once", smtp_sessions="1").returncode == 0
    articles = explained(library, one["id"])["filed"]["digests"][0]
    assert articles["state"] == "mailed"
    assert {mail["state"]: mail["reply"].split()[0] for mail in articles["mails"]} == {"sent": "250", "dead": "550"}
    shown = library("explain", one["id"]).stdout
    assert "filed " in shown
    assert "file#articles: digest " in shown
    assert "to refuse-550@example.org: 550 5.1.1" in shown
    assert "  sent " in shown


def test_a_mail_that_waits_tells_the_last_reply(library: Desk, smtp: SmtpServerThread) -> None:
    one = event(change("r1"), collection_id="poems")
    library.publish(one)
    smtp.server.script["rcpt"] = "450 4.2.0 come back later"
    assert library("run", "--once", retry_min="1h").returncode == 0
    (digest,) = explained(library, one["id"])["filed"]["digests"]
    (mail,) = digest["mails"]
    assert (mail["state"], mail["recipient"], mail["attempts"]) == ("waiting", "carl@example.org", 1)
    assert "450 4.2.0 come back later" in mail["reply"]
    assert "waiting, to carl@example.org: 1 attempts, due" in library("explain", one["id"]).stdout


def test_two_digests_of_one_subscription_are_told_apart(library: Desk, smtp: SmtpServerThread) -> None:
    """The same digest id is frozen twice: the first event went with the first mail."""
    idents = []
    for number in range(2):
        one = event(change(f"r{number}"), collection_id="poems")
        idents.append(one["id"])
        library.publish(one)
        assert library("run", "--once").returncode == 0
    first, second = (explained(library, ident)["filed"]["digests"][0]["id"] for ident in idents)
    assert first != second
    assert len(smtp.mails) == 2


def test_what_was_discarded_is_gone(library: Desk) -> None:
    one = event(change("r1"), collection_id="poems")
    library.publish(one)
    assert library("run", "--once", digest_wait="1h").returncode == 0
    library("flush", "--discard")
    (digest,) = explained(library, one["id"])["filed"]["digests"]
    assert digest["state"] == "gone"


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("no-such-id", "there is no event 'no-such-id' in the stream, nor among the last 20,000 of a day"),
        ("missing.json", "there is no file 'missing.json'"),
    ],
)
def test_what_is_not_there(library: Desk, named: str, text: str) -> None:
    done = library("explain", named)
    assert (done.returncode, done.stdout) == (65, "")
    assert text in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"id": "1"})])
def test_what_is_no_event(library: Desk, text: str) -> None:
    done = library.run("explain", "-", stdin=text)
    assert (done.returncode, done.stdout) == (65, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("kinto-notify: that is no event: ")


def test_a_stranger_does_not_rule_the_terminal(library: Desk, tmp_path: Path) -> None:
    hostile = event(change("r1"), collection_id="\x1b[2J\u202e", user_id="account:\x1b]0;x\x07")
    done = library("explain", written(tmp_path, hostile))
    assert not [char for char in done.stdout if not char.isprintable() and char != "\n"]
