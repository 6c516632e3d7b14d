"""What a mail calls a record: the collection's hints before the common fields, and never what is redacted."""

import pytest

from kinto_notify.digest import Line
from kinto_notify.filing import file_event
from support.subscribed import happened, subscribe

RECORD = {"id": "r1", "headline": "Rain", "name": "plain", "author": {"name": "Ann"}, "n": 7, "flag": True, "l": ["x"]}


@pytest.mark.parametrize(
    ("hints", "redact", "title"),
    [
        ([], [], "plain"),
        (["/headline"], [], "Rain"),
        (["/absent", "/headline"], [], "Rain"),
        (["/author/name"], [], "Ann"),
        (["/n"], [], "7"),
        (["/flag", "/l", "/author"], [], "plain"),
        (["/headline"], ["/headline"], "plain"),
        (["/author/name"], ["/author"], "plain"),
        (["/headline"], ["/headline", "/name"], ""),
        (["headline", ""], [], "plain"),
        ([f"/x{n}" for n in range(100)] + ["/headline"], [], "plain"),
    ],
)
def test_the_first_that_has_a_value(hints: list[str], redact: list[str], title: str) -> None:
    event = happened({"id": "r1", "old": {"id": "r1"}, "new": RECORD}, title="from the listener", title_fields=hints)
    (filing,) = file_event(event, [subscribe(redact=redact)])
    assert Line.decode(filing.lines[0]).title == title


def test_each_change_is_called_by_its_own_fields_and_a_deleted_one_by_its_old() -> None:
    changes = [
        {"id": f"r{n}", "old": {"headline": f"No. {n}"}, "new": {"id": f"r{n}", "deleted": True}} for n in (1, 2)
    ]
    (filing,) = file_event(happened(*changes, action="delete", title_fields=["/headline"]), [subscribe()])
    assert [Line.decode(one).title for one in filing.lines] == ["No. 1", "No. 2"]


def test_what_the_ini_redacted_is_no_title() -> None:
    new = {"id": "r1", "headline": "[redacted]", "title": "[redacted]", "name": "shown"}
    (filing,) = file_event(happened({"id": "r1", "new": new}, title_fields=["/headline"]), [subscribe()])
    assert Line.decode(filing.lines[0]).title == "shown"
