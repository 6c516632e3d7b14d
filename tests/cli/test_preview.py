"""`preview`, `schema` and `unit`: what needs no server at all."""

import json
from pathlib import Path

import pytest

from kinto_notify.subscription_table import file_schema
from support.daemon import command
from support.desk import Desk
from support.events import change, event
from support.mail_linter import lint, parse

SUBSCRIPTIONS = """
[[subscription]]
name = "articles"
recipients = ["Editors <editors@example.net>"]
subject = "News of the blog"

[[subscription]]
name = "quiet"
recipients = ["quiet@example.net"]
content = "none"

[[subscription]]
name = "redacted"
recipients = ["reader@example.net"]
redact = ["/title", "/review_note"]
"""


@pytest.fixture
def reader(nowhere: Desk, tmp_path: Path) -> Desk:
    path = tmp_path / "subscriptions.toml"
    path.write_text(SUBSCRIPTIONS)
    nowhere.variables |= {"subscriptions": str(path), "recipients": ""}
    return nowhere


def test_the_whole_message_is_a_good_one(reader: Desk) -> None:
    """Read as text, so its line ends are those of the platform."""
    done = reader("preview", "--eml")
    assert (done.returncode, done.stderr) == (0, "")
    message = done.stdout.replace("\n", "\r\n").encode()
    assert lint(message) == []
    assert str(parse(message)["To"]) == "Editors <editors@example.net>"
    assert str(parse(message)["Subject"]) == "News of the blog"


def test_text_and_html_are_its_parts(reader: Desk) -> None:
    whole = parse(reader("preview", "articles", "--eml").stdout.replace("\n", "\r\n").encode())
    text, html = (part.get_content().replace("\r\n", "\n").strip() for part in whole.iter_parts())
    assert reader("preview", "articles").stdout == reader("preview", "articles", "--text").stdout
    assert reader("preview", "articles", "--text").stdout.strip() == f"Subject: News of the blog\n\n{text}"
    assert reader("preview", "articles", "--html").stdout.strip() == html


def test_one_by_name_keeps_its_rules(reader: Desk) -> None:
    """`content` and `redact` show in the preview what they show in the mail."""
    full = reader("preview", "articles").stdout
    assert "Ten quiet walks" in full
    assert "status: draft" in full
    assert "Check the train times" in full
    quiet = reader("preview", "quiet")
    assert quiet.returncode == 0
    assert "/records/autumn-walks" in quiet.stdout
    for content in ("quiet walks", "rye bread", "draft", "train"):
        assert content not in quiet.stdout
    redacted = reader("preview", "redacted").stdout
    assert "status: draft" in redacted
    assert "quiet walks" not in redacted
    assert "train" not in redacted


def test_an_unknown_name(reader: Desk) -> None:
    done = reader("preview", "article")
    assert (done.returncode, done.stdout) == (65, "")
    said = "there is no subscription 'article'; did you mean articles?; there are: articles, quiet, redacted"
    assert done.stderr == f"kinto-notify: {said}\n"


def test_without_any_subscription_the_sample_is_shown(nowhere: Desk) -> None:
    done = nowhere("preview", recipients="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Subject: [blog/articles] 12 records updated, 3 created")


def test_the_newest_mail_of_what_is_in_the_stream(desk: Desk, tmp_path: Path) -> None:
    """Nothing is read away: the daemon finds all of it afterwards."""
    table = tmp_path / "subscriptions.toml"
    table.write_text(SUBSCRIPTIONS)
    desk.variables |= {"subscriptions": str(table), "recipients": ""}
    assert "there is no event in the stream" in desk("preview", "--recent", "5").stderr
    for place in ("old", "new", "old", "new"):
        desk.publish(event(change(), collection_id=place))
    desk.publish_raw(v="1", event="no json")
    before = desk.keyspace()
    done = desk("preview", "quiet", "--recent", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Subject: [b/new] record r1 created")
    assert "2 records created" in desk("preview", "quiet", "--recent", "9").stdout
    assert "Title of r1" in desk("preview", "articles", "--recent", "9").stdout
    assert desk("preview", "--recent", "2", "--event", "x").returncode == 64
    assert desk("preview", "articls", "--recent", "2").returncode == 65
    assert desk.keyspace() == before


def test_recent_without_redis(reader: Desk) -> None:
    done = reader("preview", "--recent", "2")
    assert (done.returncode, done.stdout) == (69, "")


def test_schema_of_events_and_of_subscriptions() -> None:
    events, subscriptions = command("schema"), command("schema", "--subscriptions")
    assert (events.returncode, subscriptions.returncode) == (0, 0)
    assert {"specversion", "id", "data"} <= set(json.loads(events.stdout)["properties"])
    assert json.loads(subscriptions.stdout) == json.loads(json.dumps(file_schema()))


def test_units_by_full_and_short_name() -> None:
    names = [line.split()[0] for line in command("unit").stdout.splitlines()]
    assert "kinto-notify.service" in names
    full = command("unit", "kinto-notify.service")
    assert (full.returncode, full.stdout) == (0, command("unit", "kinto-notify").stdout)
    assert "\n[Service]\n" in full.stdout
