"""One mail a day for who wants no more: their own digest, of all groups, at its time; the others get theirs as ever."""

from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinto_notify.address import Mailbox
from kinto_notify.daily import Dailies, daily_rules, with_dailies
from kinto_notify.digest import DigestRules, Filing
from kinto_notify.store.client import Client
from kinto_notify.store.digests import Digests
from kinto_notify.store.preferences import Preferences, key_of
from kinto_notify.store.stream import Stream
from kinto_notify.timetable import Timetable
from support.filings import entries, filed, filing, key

ANN, BEN, CAT = (Mailbox("É", f"{name}@example.org") for name in ("ann", "ben", "cat"))
S = "file#s"
PARIS = ZoneInfo("Europe/Paris")


def daily(*who: Mailbox, identity: str = S) -> Dailies:
    return {key_of(identity): {one.fingerprint for one in who}}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=6), st.sets(st.sampled_from([ANN, BEN, CAT])))
def test_everybody_hears_of_every_change_exactly_once(groups: list[tuple[int, int]], chosen: set[Mailbox]) -> None:
    every = (ANN, BEN, CAT)
    given_ = [
        filing(*(f"{index}-{n}" for n in range(number)), to=key(group=f"{index}-{group}"), recipients=every)
        for index, (group, number) in enumerate(groups)
    ]
    found = with_dailies(given_, daily(*chosen))
    for one in every:
        lines: Counter[str] = Counter(line for made in found if one in made.recipients for line in made.lines)
        assert lines == Counter(line for made in given_ for line in made.lines)
        assert sum(sum(made.counts.values()) for made in found if one in made.recipients) == sum(lines.values())
        # One mail a day, whatever the groups.
        own = [made for made in found if made.recipients == (one,) and made.key.audience == f"daily {one.key}"]
        assert len(own) == (1 if one in chosen and groups else 0)


def test_nothing_changes_for_others() -> None:
    given_: Sequence[Filing] = [filing("a", recipients=(ANN, BEN))]
    assert with_dailies(given_, {}) == given_
    assert with_dailies(given_, daily(CAT)) == given_
    assert with_dailies(given_, daily(ANN, identity="file#other")) == given_


def test_more_than_the_mail_lists_is_counted_only() -> None:
    rules = DigestRules(max_listed=3)
    given_ = [filing("a", "b", to=key(group=name), rules=rules, recipients=(ANN,)) for name in ("x", "y")]
    (one,) = with_dailies(given_, daily(ANN))
    assert (len(one.lines), sum(one.counts.values()), one.key.group) == (3, 4, ())


@pytest.mark.parametrize(
    ("timetable", "at", "days", "zone"),
    [
        (None, (540,), frozenset(range(7)), PARIS),
        (Timetable(ZoneInfo("UTC"), at=(480, 960), days=frozenset({0, 1})), (480,), frozenset({0, 1}), ZoneInfo("UTC")),
        (Timetable(PARIS, quiet=(1320, 420)), (540,), frozenset(range(7)), PARIS),
    ],
)
def test_when_it_comes(timetable: Timetable | None, at: tuple[int], days: frozenset[int], zone: ZoneInfo) -> None:
    rules = daily_rules(DigestRules(timetable=timetable, zone=PARIS, max_events=5))
    assert rules.timetable is not None
    assert (rules.timetable.at, rules.timetable.days, rules.timetable.zone) == (at, days, zone)
    assert (rules.wait, rules.interval, rules.max_events) == (0, 0, None)
    assert rules.timetable.quiet == (timetable.quiet if timetable else None)


# In Redis.


async def file(client: Client, group: str, dailies: Dailies, *to: Mailbox) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    (entry,) = await entries(client, stream, 1)
    one = filing(group, to=key(group=group), recipients=to)
    await stream.file([filed(entry, *with_dailies([one], dailies))], [])


async def test_an_open_digest_keeps_who_was_told_by_it(client: Client) -> None:
    """Else what it gathered before they chose would reach nobody."""
    await file(client, "c", {}, ANN, BEN)
    await file(client, "c", daily(ANN, CAT), ANN, BEN, CAT)
    (first,) = await Digests(client).freeze(9)
    assert sorted(first.recipients) == [ANN, BEN]
    await file(client, "c", daily(ANN, CAT), ANN, BEN, CAT)
    (second,) = await Digests(client).freeze(9)
    assert second.recipients == (BEN,)


async def test_it_waits_for_its_time_and_gathers_all_groups(client: Client) -> None:
    for group in ("one", "two"):
        await file(client, group, daily(ANN), ANN)
    assert await Digests(client).freeze(9) == []
    ((name, due),) = await client.redis.zrange(client.key("due"), 0, -1, withscores=True)
    now = await client.time()
    assert now < due <= now + 86_400_000
    assert int(due) % 86_400_000 == 9 * 3_600_000
    stored = await client.redis.hgetall(client.key(f"digest:{name.decode()}"))
    assert stored[b"n:record create"] == b"2"
    assert "ann@example.org" in stored[b"recipients"].decode()


async def test_who_wants_it_is_read_when_it_changed(client: Client) -> None:
    wishes = Preferences(client)
    assert await wishes.dailies("") is None
    await wishes.act(ANN.fingerprint, key_of(S), "daily")
    first = await wishes.dailies("")
    assert first is not None
    mark, found = first
    assert found == daily(ANN)
    assert await wishes.dailies(mark) is None
    for act in ("mute", "daily"):
        await wishes.act(ANN.fingerprint, key_of(S), act, span_ms=1000)  # type: ignore[arg-type]
        assert await wishes.dailies(mark) is None
    await wishes.act(ANN.fingerprint, key_of(S), "off")
    last = await wishes.dailies(mark)
    assert last is not None
    assert last[1] == {}
    await wishes.act(ANN.fingerprint, key_of(S), "daily")
    await wishes.forget(ANN.fingerprint)
    assert await client.redis.exists(client.key("dailies")) == 0
