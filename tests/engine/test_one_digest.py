"""Every change is in exactly one digest, and its totals are true: for any order of filing and freezing."""

import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import redis as sync_redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinto_notify.compose.composer import MAX_BODY, Composer
from kinto_notify.digest import FrozenDigest, Line
from kinto_notify.event import parse_event
from kinto_notify.filing import file_event
from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests, Step
from kinto_notify.store.stream import HOUR_MS, Filed, Stream
from support.digests import SENDER
from support.events import change, event
from support.filings import entries
from support.subscribed import subscribe


@pytest.fixture
async def client(server: sync_redis.Redis) -> AsyncIterator[Client]:
    made = fresh(server)
    yield made
    await made.close()


def fresh(server: sync_redis.Redis) -> Client:
    port = server.connection_pool.connection_kwargs["port"]
    return Client(f"redis://127.0.0.1:{port}/0", f"t-{uuid.uuid4().hex[:12]}")


RULES = {"wait": "0s", "interval": "0s", "max_listed": 3}
SUBSCRIPTIONS = [
    subscribe(name="by place", digest=RULES),
    subscribe(name="by change", digest={**RULES, "group_by": "change"}),
    subscribe(name="personal", recipients=["ann@example.org", "bob@example.org"], exclude_actor=True, digest=RULES),
]
#: An event: its collection, its actor, how many changes it has; or a moment at which what is due is frozen.
happenings = st.lists(
    st.just("freeze")
    | st.tuples(st.sampled_from("cd"), st.sampled_from(["account:ann@example.org", "account:x"]), st.integers(1, 4)),
    max_size=12,
)


async def taken(digests: Digests) -> list[FrozenDigest]:
    """Freeze what is due, and end it, as the digester does."""
    found: list[FrozenDigest] = []
    while due := await digests.freeze(64):
        found += due
        await digests.fan_out([Step(one, 0, len(one.recipients), True, b"", "", ()) for one in due])
    return found


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings)
async def test_every_change_is_in_exactly_one_digest_of_each_recipient(server, happened) -> None:
    client = fresh(server)
    stream, digests = Stream(client, "one"), Digests(client)
    await stream.ensure_group()
    expected: Counter[tuple[str, str]] = Counter()
    frozen: list[FrozenDigest] = []
    number = 0
    for one in [*happened, "freeze"]:
        if one == "freeze":
            frozen += await taken(digests)
            continue
        collection, actor, many = one
        idents = [f"r{number + index}" for index in range(many)]
        number += many
        told = parse_event(json.dumps(event(*map(change, idents), collection_id=collection, user_id=actor)))
        filings = tuple(file_event(told, SUBSCRIPTIONS))
        (entry,) = await entries(client, stream, 1)
        await stream.file([Filed(entry.id, told.id, entry.added // HOUR_MS, entry.added, filings)], [])
        for subscription in SUBSCRIPTIONS:
            for mailbox in subscription.recipients:
                if not (subscription.exclude_actor and actor.endswith(mailbox.address)):
                    expected[subscription.identity, mailbox.address] += many
    got: Counter[tuple[str, str]] = Counter()
    for digest in frozen:
        listed = [line.id for line in digest.lines]
        assert len(listed) == len(set(listed)) == min(3, digest.changes)
        for mailbox in digest.recipients:
            got[digest.key.identity, mailbox.address] += digest.changes
    assert got == expected
    by_change = [digest for digest in frozen if digest.key.identity == SUBSCRIPTIONS[1].identity]
    assert sorted(digest.lines[0].id for digest in by_change) == sorted(f"r{n}" for n in range(number))
    assert await taken(digests) == []
    await client.close()


async def test_c10_fifty_thousand_changes_are_one_mail_with_true_totals(client: Client) -> None:
    one = subscribe(digest={"wait": "0s", "interval": "0s"})
    stream = Stream(client, "one")
    await stream.ensure_group()
    fat = [change(f"r{n}", new={"id": f"r{n}", "title": "T" * 200, "text": "x" * 2_000}) for n in range(500)]
    for entry in await entries(client, stream, 100):
        told = parse_event(json.dumps(event(*fat)))
        filings = tuple(file_event(told, [one]))
        await stream.file([Filed(entry.id, told.id, entry.added // HOUR_MS, entry.added, filings)], [])
    (digest,) = await Digests(client).freeze(10)
    composer = Composer(sender=SENDER)
    mail = composer.headers(digest, digest.recipients[0]) + composer.body(digest)
    assert len(mail) < 100_000
    assert len(composer.body(digest)) <= MAX_BODY
    assert composer.subject(digest) == "[b/c] 50,000 records created"
    parts = composer.parts(digest)
    assert "50,000 records created" in parts.text
    shown = sum(1 for line in parts.text.splitlines() if line.startswith("+ record"))
    assert f"and {50_000 - shown:,} more" in parts.text


def threads(mails: list[dict[str, str]]) -> list[set[int]]:
    """Thread as clients do (J. Zawinski's algorithm): by References and In-Reply-To, whose root nobody has."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for mail in mails:
        for named in (mail["References"] + " " + mail["In-Reply-To"]).split():
            parent[root(mail["Message-ID"])] = root(named)
    found: dict[str, set[int]] = {}
    for index, mail in enumerate(mails):
        found.setdefault(root(mail["Message-ID"]), set()).add(index)
    return list(found.values())


def test_twenty_digests_of_one_group_are_one_thread_and_another_group_is_another() -> None:
    composer = Composer(sender=SENDER)
    one = subscribe(digest={"wait": "0s"})
    mails = []
    for number in range(40):
        told = parse_event(json.dumps(event(change(f"r{number}"), collection_id="c" if number < 20 else "d")))
        (filing,) = file_event(told, [one])
        digest = FrozenDigest(
            f"frozen-{number}", filing.key, filing.recipients, filing.counts,
            tuple(map(Line.decode, filing.lines)), 1_700_000_000_000, 1_700_000_000_000 + number * 1_000,
        )  # fmt: skip
        raw = (composer.headers(digest, digest.recipients[0]) + composer.body(digest)).decode("latin-1")
        head = raw.partition("\r\n\r\n")[0].replace("\r\n ", " ").split("\r\n")
        mails.append(dict(line.partition(": ")[::2] for line in head))
    assert len({mail["Message-ID"] for mail in mails}) == 40
    assert sorted(threads(mails), key=min) == [set(range(20)), set(range(20, 40))]
