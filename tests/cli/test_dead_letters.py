"""`dead-letters` with all three kinds: an entry that is no event, a digest that cannot be composed, a refused mail."""

import asyncio
import json

import pytest
import redis

from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from support.desk import Desk
from support.events import change, event
from support.smtp_server import SmtpServerThread


def listed(desk: Desk, *arguments: str) -> list[dict[str, object]]:
    done = desk("dead-letters", "list", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def bury_a_digest(desk: Desk) -> None:
    """What the digester does with a digest whose composition raises."""
    desk.publish(event(change("buried"), collection_id="digest"))
    assert desk("run", "--once", digest_wait="1s").returncode == 0

    async def bury() -> None:
        client = Client(desk.redis_url, desk.namespace)
        try:
            digests = Digests(client)
            while not (found := await digests.freeze(1)):  # noqa: ASYNC110 - Redis tells nobody when a digest is due
                await asyncio.sleep(0.02)
            await digests.bury(found[0], "cannot be composed: LookupError")
        finally:
            await client.close()

    asyncio.run(bury())


@pytest.fixture
def buried(desk: Desk, smtp: SmtpServerThread) -> dict[str, str]:
    """One of each kind: kind → id. The refused delivery shares its digest with one that arrived."""
    desk.publish_raw(v="1", event="{not JSON")
    desk.publish(event(change("told")))
    done = desk("run", "--once", recipients="refuse-550@example.org, reader@example.org")
    assert done.returncode == 0
    bury_a_digest(desk)
    assert [mail.recipient for mail in smtp.mails] == ["reader@example.org"]
    found = {str(one["kind"]): str(one["id"]) for one in listed(desk)}
    assert set(found) == {"entry", "digest", "delivery"}
    return found


def test_list_tells_kind_and_reason(desk: Desk, buried: dict[str, str]) -> None:
    told = {str(one["kind"]): one for one in listed(desk)}
    assert set(told["entry"]) == {
        "id",
        "kind",
        "when",
        "reason",
        "subscription",
        "recipient",
        "attempts",
        "last_reply",
    }
    assert "JSON" in str(told["entry"]["reason"])
    assert told["digest"]["reason"] == "cannot be composed: LookupError"
    delivery = told["delivery"]
    assert delivery["reason"] == "550 5.1.1 as the address says (at RCPT)"
    assert (delivery["recipient"], delivery["subscription"]) == ("refuse-550@example.org", "file#default")
    assert listed(desk, "--limit", "1")[0]["kind"] == "digest", "the newest first"
    done = desk("dead-letters", "list")
    assert (done.returncode, done.stderr) == (0, "3 of 3 dead letters\n")
    assert len(done.stdout.splitlines()) == 3
    assert all(ident in done.stdout for ident in buried.values())


def test_show_each_kind(desk: Desk, buried: dict[str, str]) -> None:
    entry = desk("dead-letters", "show", buried["entry"])
    assert (entry.returncode, entry.stderr) == (0, "")
    assert entry.stdout.endswith("version        1\n\n{not JSON\n")
    digest = desk("dead-letters", "show", buried["digest"])
    assert digest.returncode == 0
    assert "reason         cannot be composed: LookupError" in digest.stdout
    assert "create         /buckets/b/collections/c/records/buried" in digest.stdout
    delivery = desk("dead-letters", "show", buried["delivery"])
    assert delivery.returncode == 0
    assert "\n\nTo: refuse-550@example.org\n" in delivery.stdout
    assert "Title of told" in delivery.stdout
    told = json.loads(desk("dead-letters", "show", "--json", buried["delivery"]).stdout)
    assert told["mail"].startswith("To: refuse-550@example.org\r\n")
    assert json.loads(desk("dead-letters", "show", "--json", buried["digest"]).stdout)["mail"] is None


@pytest.mark.usefixtures("buried")
def test_retry_sends_what_can_be_sent_now(desk: Desk, smtp: SmtpServerThread) -> None:
    before = {mail.message_id for mail in smtp.mails}
    done = desk("dead-letters", "retry", "--all")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 will be tried again\n", "")
    assert listed(desk) == []
    assert desk("run", "--once").returncode == 0
    kinds = sorted(str(one["kind"]) for one in listed(desk))
    assert kinds == ["delivery", "entry"], "the entry is as malformed as before, the address still refused"
    (digest,) = [mail for mail in smtp.mails if mail.message_id not in before]
    assert b"Title of buried" in digest.data


def test_retry_by_id_leaves_the_others(desk: Desk, smtp: SmtpServerThread, buried: dict[str, str]) -> None:
    count = len(smtp.mails)
    done = desk("dead-letters", "retry", buried["digest"])
    assert (done.returncode, done.stdout) == (0, "1 will be tried again\n")
    assert {str(one["kind"]) for one in listed(desk)} == {"entry", "delivery"}
    assert desk("run", "--once").returncode == 0
    assert len(smtp.mails) == count + 1


def test_drop_by_id_and_all(desk: Desk, buried: dict[str, str]) -> None:
    done = desk("dead-letters", "drop", buried["entry"], buried["delivery"])
    assert (done.returncode, done.stdout) == (0, "2 dropped\n")
    assert [one["kind"] for one in listed(desk)] == ["digest"]
    done = desk("dead-letters", "drop", "--all")
    assert (done.returncode, done.stdout) == (0, "1 dropped\n")
    done = desk("dead-letters", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no dead letters\n")
    mine = [key for key in desk.keyspace() if f"{{{desk.namespace}}}".encode() in key]
    assert not [key for key in mine if b":dead" in key or b":body" in key or b":frozen" in key], mine


@pytest.mark.usefixtures("buried")
@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--reason", "json"], {"entry"}),
        (["--reason", "CANNOT be"], {"digest"}),
        (["--subscription", "default"], {"digest", "delivery"}),
        (["--subscription", "file#default", "--reason", "550"], {"delivery"}),
        (["--subscription", "def"], set()),
        (["--recipient", "Refuse-550@Example.org"], {"delivery"}),
        (["--recipient", "example.org"], set()),
        (["--since", "1h"], {"entry", "digest", "delivery"}),
        (["--since", "0s"], set()),
    ],
    ids=lambda given: " ".join(sorted(given) if isinstance(given, set) else given),
)
def test_filters(desk: Desk, arguments: list[str], kinds: set[str]) -> None:
    """What a filter lists is what it retries and drops; the limit counts what is shown."""
    assert {str(one["kind"]) for one in listed(desk, *arguments)} == kinds
    assert len(listed(desk, *arguments, "--limit", "1")) == min(1, len(kinds))
    done = desk("dead-letters", "drop", *arguments)
    assert (done.returncode, done.stdout) == (0, f"{len(kinds)} dropped\n")
    assert {str(one["kind"]) for one in listed(desk)} == {"entry", "digest", "delivery"} - kinds


@pytest.mark.usefixtures("buried")
def test_retry_by_filter(desk: Desk, smtp: SmtpServerThread) -> None:
    """Once the address is right at the relay, those that it refused are sent and nothing else is touched."""
    count = len(smtp.mails)
    smtp.server.script["rcpt"] = "250 2.1.5 now we know them"
    done = desk("dead-letters", "retry", "--reason", "550", "--since", "1h")
    assert (done.returncode, done.stdout) == (0, "1 will be tried again\n")
    assert desk("run", "--once").returncode == 0
    assert [mail.recipient for mail in smtp.mails[count:]] == ["refuse-550@example.org"]
    assert {str(one["kind"]) for one in listed(desk)} == {"entry", "digest"}


@pytest.mark.parametrize("given", [[], ["ID", "--all"], ["ID", "--reason", "x"], ["--all", "--since", "1h"]])
@pytest.mark.parametrize("act", ["retry", "drop"])
def test_what_is_meant_must_be_plain(nowhere: Desk, act: str, given: list[str]) -> None:
    """`--all` beside a filter could be read both ways."""
    done = nowhere("dead-letters", act, *given)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == f"kinto-notify: dead-letters {act}: name some ids, or a filter, or --all\n"


def test_x14_what_is_retried_is_examined_as_new(desk: Desk, buried: dict[str, str], smtp: SmtpServerThread) -> None:
    """A hostile hand in Redis changes what lies there: nothing of it reaches the wire or passes validation."""
    count = len(smtp.mails)
    prefix = f"{{{desk.namespace}}}:dead:"
    with redis.Redis.from_url(desk.redis_url) as client:
        hostile = "b@example.org>\r\nRCPT TO:<c@example.org"
        client.hset(prefix + buried["delivery"], "recipient", hostile)
        client.hset(prefix + buried["entry"], "entry_event", '{"id": "1", "source": "s", "type": "t", "data": {}}')
    assert desk("dead-letters", "retry", buried["delivery"], buried["entry"]).returncode == 0
    assert desk("run", "--once").returncode == 0
    assert len(smtp.mails) == count
    reasons = {str(one["kind"]): str(one["reason"]) for one in listed(desk)}
    assert "not fit for the wire" in reasons["delivery"]
    assert "data.changes: Field required" in reasons["entry"]


@pytest.mark.parametrize("act", ["show", "retry", "drop"])
def test_an_unknown_id(desk: Desk, buried: dict[str, str], act: str) -> None:
    """None of those named beside it is touched."""
    before = listed(desk)
    named = ["1-1"] if act == "show" else [buried["entry"], "1-1"]
    done = desk("dead-letters", act, *named)
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr == "kinto-notify: there is no dead letter '1-1'; 'kinto-notify dead-letters list' shows them\n"
    assert listed(desk) == before


def test_all_of_none_is_no_fault(desk: Desk) -> None:
    assert desk("dead-letters", "retry", "--all").stdout == "0 will be tried again\n"
    assert desk("dead-letters", "drop", "--all").stdout == "0 dropped\n"


def test_poison_does_not_rule_the_terminal(desk: Desk) -> None:
    """Escape codes, line breaks and direction overrides of a stranger, in the body and in the name of a field."""
    desk.publish_raw(v="1", event="\x1b]0;gone\x07{\u202e")
    desk.publish_raw(v="\x1b[2J", event="{}")
    named = event(children={"\x1b[2J\nok    all is well": "x"})
    desk.publish(named)
    assert desk("run", "--once").returncode == 0
    done = desk("dead-letters", "list")
    assert len(done.stdout.splitlines()) == 3
    shown = done.stdout + "".join(desk("dead-letters", "show", str(one["id"])).stdout for one in listed(desk))
    assert not [char for char in shown if not char.isprintable() and char != "\n"]
    assert "\nok    all is well" not in shown
