"""`subscriptions list` and `test`: why did I, or did I not, get mail?"""

import json
from pathlib import Path
from typing import Any

import pytest

from support.desk import Desk
from support.events import change, event

TABLES = """
[[subscription]]
name = "articles"
collection_id = "articles"
recipients = ["Ann <ann@example.org>", "ben@example.org"]

[[subscription]]
name = "owners"
recipients = ["{new[/owner]}"]
digest = { at = "09:00", timezone = "Europe/Paris" }
"""
HOOK = {"home": "/buckets/b/collections/articles", "name": "0", "hook": {"recipients": ["ann@example.org"]}}


@pytest.fixture
def library(desk: Desk, tmp_path: Path) -> Desk:
    table = tmp_path / "subscriptions.toml"
    table.write_text(TABLES)
    desk.variables |= {"subscriptions": str(table), "recipients": ""}
    return desk


def reached(desk: Desk, *arguments: str, stdin: str | None = None) -> dict[str, dict[str, Any]]:
    done = desk.run("subscriptions", "test", "--json", *arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    return {one["subscription"]: one for one in json.loads(done.stdout)["subscriptions"]}


def test_list_says_it_in_words(library: Desk) -> None:
    library("pause", "owners")
    done = library("subscriptions", "list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "articles: active, 0 open digests"
    assert "  home       the operator's file" in lines
    assert "  recipients 2" in lines
    assert "  wants      collection_id articles" in lines
    assert any(line.startswith("owners: paused since 20") for line in lines)
    assert any(line.startswith("  mails      at 09:00 (Europe/Paris)") for line in lines)


def test_list_knows_what_left_the_file_by_what_it_has_open(library: Desk) -> None:
    library.publish(event(change(), collection_id="articles"))
    library("pause", "articles")
    assert library("run", "--once").returncode == 0
    Path(library.variables["subscriptions"]).write_text(TABLES.replace('"articles"\nc', '"news"\nc'))
    told = [json.loads(line) for line in library("subscriptions", "list", "--json").stdout.splitlines()]
    assert [(one["identity"], one["open_digests"]) for one in told] == [
        ("file#news", 0),
        ("file#owners", 0),
        ("file#articles", 1),
    ]
    assert told[2]["state"].startswith("paused since ")


def test_an_address_without_an_event(library: Desk) -> None:
    found = reached(library, "ANN@example.org")
    assert found["file#articles"]["gets"]
    assert found["file#owners"]["reasons"] == ["names whom a change names in /owner"]
    said = library("subscriptions", "test", "ann@example.org").stdout
    assert "file#articles: gets mail\n  names it\n" in said
    assert "file#owners: may get mail\n  names whom a change names in /owner\n" in said
    outside = reached(library, "ann@elsewhere.example")
    assert [one["gets"] for one in outside.values()] == [False, False]
    assert outside["file#owners"]["reasons"][-1] == "it is outside KINTO_NOTIFY_ALLOWED_RECIPIENTS"


def test_what_recipients_and_operators_wish_is_told(library: Desk) -> None:
    library("recipients", "unsubscribe", "ann@example.org", "--subscription", "articles")
    library("pause", "owners")
    found = reached(library, "ann@example.org")
    assert not found["file#articles"]["gets"]
    assert found["file#articles"]["hindrances"] == ["its recipient wants none of it: unsubscribed"]
    (hindrance,) = found["file#owners"]["hindrances"]
    assert hindrance.startswith("paused since ")
    assert reached(library, "ben@example.org")["file#articles"]["gets"]
    library("recipients", "unsubscribe", "ben@example.org")
    assert not reached(library, "ben@example.org")["file#articles"]["gets"]
    library("pause")
    library("recipients", "resubscribe", "ann@example.org")
    (hindrance,) = reached(library, "ann@example.org")["file#articles"]["hindrances"]
    assert hindrance.startswith("everything is paused since ")


def test_s09_an_address_that_nobody_has(library: Desk, tmp_path: Path) -> None:
    nobody = "refuse-550@example.org"
    table = Path(library.variables["subscriptions"])
    table.write_text(TABLES.replace("ben@example.org", nobody))
    for number in range(2):
        library.publish(event(change(f"r{number}"), collection_id="articles"))
        library("run", "--once")
    (hindrance,) = reached(library, nobody)["file#articles"]["hindrances"]
    assert hindrance.startswith("suppressed since ")
    assert "550" in hindrance


def test_an_event_names_the_filter_and_brings_its_hooks(library: Desk, tmp_path: Path) -> None:
    one = event(change(), collection_id="books", hooks=[HOOK])
    found = reached(library, "ann@example.org", "-", stdin=json.dumps(one))
    assert found["file#articles"]["reasons"][0] == "does not want the event"
    assert found["file#articles"]["reasons"][1].startswith("collection_id: wants articles")
    path = tmp_path / "event.json"
    path.write_text(json.dumps(one))
    done = library("subscriptions", "test", "ann@example.org", str(path))
    assert "file#articles: no mail\n  does not want the event\n" in done.stdout
    assert "/buckets/b/collections/articles#0: gets mail\n" in done.stdout


def test_what_is_no_address_and_no_event(library: Desk, tmp_path: Path) -> None:
    for arguments in (("nobody",), ("ann@example.org", "none.json"), ("ann@example.org", str(tmp_path))):
        done = library("subscriptions", "test", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (65, "", 1)
    assert library("subscriptions", "test").returncode == 64


@pytest.mark.parametrize("arguments", [("list",), ("test", "ann@example.org")])
def test_without_redis(nowhere: Desk, arguments: tuple[str, ...]) -> None:
    done = nowhere("subscriptions", *arguments)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("kinto-notify: Redis: ")
