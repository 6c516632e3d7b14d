"""`recipients` with an address that the relay does not know, from the first refusal to the mail that arrives again."""

import json
import re

import pytest

from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread

NOBODY = "refuse-550@example.org"


def told(desk: Desk, *arguments: str) -> str:
    done = desk("recipients", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mail(desk: Desk, number: int) -> None:
    desk.publish(event(change(f"r{number}"), collection_id=f"c{number}"))
    done = desk("run", "--once", recipients=f"{NOBODY}, reader@example.org")
    assert done.returncode == 0
    assert NOBODY not in done.stdout


@pytest.fixture
def suppressed(desk: Desk, smtp: SmtpServerThread) -> None:
    """S09: two mails were refused, the third did not go out."""
    for number in range(3):
        mail(desk, number)
    assert len(smtp.mails) == 3
    lines = [line for connection in smtp.server.connections for line in connection.lines]
    assert sum(NOBODY.encode() in line for line in lines) == 2


@pytest.mark.usefixtures("suppressed")
def test_s09_what_was_refused_twice_is_suppressed_and_the_dead_letter_says_how_to_lift_it(desk: Desk) -> None:
    done = desk("dead-letters", "list", "--json")
    reasons = [json.loads(line)["reason"] for line in done.stdout.splitlines()]
    assert len(reasons) == 3
    assert reasons[0].startswith("suppressed: the relay said twice that nobody has this address (550 5.1.1 ")
    assert "recipients resubscribe ADDRESS" in reasons[0]
    assert all(reason.startswith("550 5.1.1") for reason in reasons[1:])


@pytest.mark.usefixtures("suppressed")
def test_list_and_show(desk: Desk) -> None:
    (line,) = told(desk, "list", "--suppressed").splitlines()
    assert re.fullmatch(rf"\S+ \S+Z  suppressed    {NOBODY} +550 5\.1\.1 .*", line)
    (row,) = told(desk, "list", "--json").splitlines()
    shown = json.loads(told(desk, "show", "--json", NOBODY.upper()))
    assert json.loads(row).items() <= shown.items()
    assert shown["wants"] == {}
    assert (shown["address"], shown["unknown"]) == (NOBODY, 2)
    assert shown["suppressed"] is not None
    assert "suppressed" in told(desk, "show", NOBODY)
    assert "nothing is kept" in told(desk, "show", "reader@example.org")
    assert json.loads(told(desk, "show", "--json", "reader@example.org"))["suppressed"] is None


@pytest.mark.usefixtures("suppressed")
def test_resubscribe_lets_mail_go_out_again(desk: Desk, smtp: SmtpServerThread) -> None:
    assert "goes out again" in told(desk, "resubscribe", NOBODY)
    assert "was not suppressed" in told(desk, "resubscribe", NOBODY)
    assert told(desk, "list") == ""
    # The mailbox is there now.
    smtp.server.script["rcpt"] = "250 2.1.5 ok"
    mail(desk, 9)
    assert [one.recipient for one in smtp.mails if one.recipient == NOBODY] == [NOBODY]


def test_one_refusal_is_listed_but_not_suppressed(desk: Desk) -> None:
    mail(desk, 0)
    assert "unknown once" in told(desk, "list")
    done = desk("recipients", "list", "--suppressed")
    assert (done.stdout, done.stderr) == ("", "no recipient is suppressed\n")


def test_what_is_no_address_is_said_so(desk: Desk) -> None:
    for act in ("show", "resubscribe"):
        done = desk("recipients", act, "ann at example")
        assert done.returncode == 65
        assert "ann at example" in done.stderr
    assert desk("recipients").returncode == 64


def recipients_of(smtp: SmtpServerThread) -> list[str]:
    return [one.recipient for one in smtp.mails]


def test_unsubscribe_stops_one_subscription_or_all(desk: Desk, smtp: SmtpServerThread) -> None:
    assert "no more mail of file#default" in told(desk, "unsubscribe", "ann@example.org", "--subscription", "default")
    assert "no more mail of all subscriptions" in told(desk, "unsubscribe", "Ben <ben@example.org>")
    everybody = "ann@example.org, ben@example.org, reader@example.org"
    desk.publish(event(change("r1")))
    assert desk("run", "--once", recipients=everybody).returncode == 0
    assert recipients_of(smtp) == ["reader@example.org"]
    rows = [json.loads(line) for line in told(desk, "list", "--json").splitlines()]
    assert [(row["subscription"], row["wants"]) for row in rows] == [
        ("all subscriptions", "unsubscribed"),
        ("file#default", "unsubscribed"),
    ]
    assert "@" not in str(rows)
    shown = json.loads(told(desk, "show", "--json", "ANN@example.org"))
    assert shown["wants"] == {"file#default": "unsubscribed"}
    assert shown["recipient"] == rows[1]["recipient"]
    assert re.search(r"^wants +file#default: unsubscribed$", told(desk, "show", "ann@example.org"), re.MULTILINE)
    assert told(desk, "list", "--suppressed") == ""
    for name in ("ann", "ben"):
        assert "goes out again" in told(desk, "resubscribe", f"{name}@example.org")
    assert told(desk, "list") == ""
    desk.publish(event(change("r2")))
    desk("run", "--once", recipients=everybody)
    assert sorted(recipients_of(smtp)[1:]) == ["ann@example.org", "ben@example.org", "reader@example.org"]


def test_resubscribe_to_one_leaves_the_others(desk: Desk) -> None:
    told(desk, "unsubscribe", "ann@example.org")
    for name in ("default", "/buckets/b#0"):
        told(desk, "unsubscribe", "ann@example.org", "--subscription", name)
    done = desk("recipients", "resubscribe", "ann@example.org", "--subscription", "/buckets/b#0")
    assert "goes out again" in done.stdout
    assert "unsubscribed from all" in done.stderr
    shown = json.loads(told(desk, "show", "--json", "ann@example.org"))
    assert set(shown["wants"]) == {"all subscriptions", "file#default"}


def test_explain_says_that_it_was_not_wanted(desk: Desk) -> None:
    told(desk, "unsubscribe", "reader@example.org", "--subscription", "default")
    one = event(change("r1"))
    desk.publish(one)
    desk("run", "--once")
    assert re.search(r"  not sent .* unsubscribed$", desk("explain", one["id"]).stdout, re.MULTILINE)


def test_a_subscription_that_is_not_there_is_named_with_the_nearest(desk: Desk) -> None:
    done = desk("recipients", "unsubscribe", "ann@example.org", "--subscription", "defualt")
    assert done.returncode == 65
    assert "default" in done.stderr
