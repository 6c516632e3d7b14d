"""`pause`, `resume` and `flush`, with a bulk import that must mail nobody."""

import json
from pathlib import Path

import pytest

from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread
from support.stream import eventually

TWO = """
[[subscription]]
name = "articles"
collection_id = "articles"
recipients = ["anna@example.org"]

[[subscription]]
name = "books"
collection_id = "books"
recipients = ["ben@example.org"]
"""


@pytest.fixture
def library(desk: Desk, tmp_path: Path) -> Desk:
    """A desk with two subscriptions."""
    table = tmp_path / "subscriptions.toml"
    table.write_text(TWO)
    desk.variables |= {"subscriptions": str(table), "recipients": ""}
    return desk


def both(desk: Desk, ident: str) -> None:
    desk.publish(event(change(ident), collection_id="articles"), event(change(ident), collection_id="books"))


def readers(smtp: SmtpServerThread) -> list[str]:
    return [mail.recipient.partition("@")[0] for mail in smtp.mails]


def test_an_import_that_mails_nobody(library: Desk, smtp: SmtpServerThread) -> None:
    """Pause, import, throw away, resume: what comes after it is mailed as ever."""
    done = library("pause", "articles")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "articles: paused; changes are filed, and no digest becomes due\n"
    library.publish(*(event(change(f"r{n}"), collection_id="articles") for n in range(30)))
    assert "30 entries of the stream are not filed yet" in library("flush", "--discard", "articles").stderr
    assert library("run", "--once").returncode == 0
    assert smtp.mails == []
    told = json.loads(library("status", "--json").stdout)
    assert list(told["paused"]) == ["file#articles"]
    assert (told["open_digests"], told["paused_digests"]) == (1, 1)
    done = library("flush", "--discard", "articles")
    assert (done.stdout, done.stderr) == ("articles: 1 digest with 30 changes thrown away\n", "")
    assert library("resume", "articles").stdout == "articles: resumed\n"
    both(library, "after")
    assert library("run", "--once").returncode == 0
    assert sorted(readers(smtp)) == ["anna", "ben"]
    assert b"r1" not in smtp.mails[0].data + smtp.mails[1].data


def test_after_a_pause_one_mail_with_true_totals(library: Desk, smtp: SmtpServerThread) -> None:
    assert library("pause").stdout.startswith("all: paused;")
    both(library, "one")
    assert library("run", "--once").returncode == 0
    both(library, "two")
    # Another daemon, another life: the pause stands in Redis.
    assert library("run", "--once", name="other").returncode == 0
    assert smtp.mails == []
    shown = library("status").stdout
    assert "paused since" in shown
    assert ": all\n" in shown
    done = library("resume", "books")
    assert done.stdout == "books: was not paused\n"
    assert done.stderr == "but all are paused; 'kinto-notify resume' ends that\n"
    assert library("resume").stdout == "all: resumed\n"
    assert library("run", "--once").returncode == 0
    assert sorted(readers(smtp)) == ["anna", "ben"]
    assert all(b"2 records created" in mail.data for mail in smtp.mails)


def test_a_flush_sends_one_that_is_paused(library: Desk, smtp: SmtpServerThread) -> None:
    library("pause")
    both(library, "one")
    assert library("run", "--once").returncode == 0
    done = library("flush", "books")
    assert (done.returncode, done.stdout) == (0, "books: 1 digest with 1 change due now\n")
    assert library("run", "--once").returncode == 0
    assert readers(smtp) == ["ben"]


def test_what_was_composed_before_is_sent(library: Desk, smtp: SmtpServerThread) -> None:
    """A pause holds back digests, not mails on their way."""
    smtp.server.script["rcpt"] = ["450 4.2.0 later", "250 2.1.5 taken"]
    both(library, "one")
    assert library("run", "--once").returncode == 0
    assert len(smtp.mails) == 1
    assert library("pause").stderr == "what was composed before is still sent\n"
    eventually(lambda: library("run", "--once").returncode == 0 and len(smtp.mails) == 2)


@pytest.mark.parametrize("act", ["pause", "resume", "flush"])
def test_a_misspelt_name_is_not_taken(library: Desk, act: str) -> None:
    done = library(act, "artikles")
    assert (done.returncode, done.stdout) == (65, "")
    wanted = "there is no subscription 'artikles'; did you mean articles?; there are: articles, books"
    assert done.stderr == f"kinto-notify: {wanted}\n"
    assert json.loads(library("status", "--json").stdout)["paused"] == {}


def test_one_that_left_the_file_can_still_be_flushed(library: Desk, smtp: SmtpServerThread) -> None:
    library("pause", "books")
    both(library, "one")
    assert library("run", "--once").returncode == 0
    table = Path(library.variables["subscriptions"])
    table.write_text(TWO.partition('[[subscription]]\nname = "books"')[0])
    assert library("flush", "books").stdout == "books: 1 digest with 1 change due now\n"
    assert library("resume", "file#books").returncode == 0
    assert library("resume", "books").returncode == 0, "its digest is still open"
    assert library("run", "--once").returncode == 0
    assert sorted(readers(smtp)) == ["anna", "ben"]
    assert library("resume", "books").returncode == 65


def test_a_hook_goes_by_its_home_and_name(library: Desk) -> None:
    hook = "/buckets/blog/collections/articles#0"
    assert library("pause", hook).stdout.startswith(f"{hook}: paused")
    assert list(json.loads(library("status", "--json").stdout)["paused"]) == [hook]


@pytest.mark.parametrize("act", ["pause", "resume", "flush"])
def test_without_redis(nowhere: Desk, act: str) -> None:
    done = nowhere(act)
    assert (done.returncode, done.stdout) == (69, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("kinto-notify: Redis: ")
