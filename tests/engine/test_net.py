"""`collapse = "net"`: what many changes of an object come to, in the store and in the mail."""

import itertools
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis as sync_redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinto_notify.compose.composer import Composer
from kinto_notify.diff import FieldDiff
from kinto_notify.digest import DigestRules, Filing, FrozenDigest, Line
from kinto_notify.digester import Digester
from kinto_notify.net import Merged, net
from kinto_notify.store.alone import Alone
from kinto_notify.store.client import Client, script_text
from kinto_notify.store.digests import Digests, _parted
from kinto_notify.store.overview import overview
from kinto_notify.store.stream import Stream
from kinto_notify.telemetry import Telemetry
from support.digests import HELLO, SENDER, digest
from support.filings import ANNA, entries, filed, key

NET = DigestRules(wait=0, interval=0, collapse=True)
MERGE = script_text("merge") + "return merged(ARGV[1], ARGV[2])"


@pytest.fixture
async def client(server: sync_redis.Redis) -> AsyncIterator[Client]:
    port = server.connection_pool.connection_kwargs["port"]
    made = Client(f"redis://127.0.0.1:{port}/0", f"t-{uuid.uuid4().hex[:12]}")
    yield made
    await made.close()


def line(
    action: str, ident: str = "r1", stamp: int = 1_795_446_252_000, **fields: tuple[str | None, str | None]
) -> Line:
    differences = tuple(FieldDiff(f"/{name}", old, new) for name, (old, new) in fields.items())
    return Line(action, "record", ident, uri=f"/records/{ident}", timestamp=stamp, fields=differences, title="Título")


async def told(client: Client, *lines: Line, rules: DigestRules = NET) -> FrozenDigest:
    """File each line as an event of its own, and freeze."""
    stream = Stream(client, "one")
    await stream.ensure_group()
    for one, entry in zip(lines, await entries(client, stream, len(lines)), strict=True):
        filing = Filing(key(), rules, (ANNA,), {f"record {one.action}": 1}, (one.encode(),))
        await stream.file([filed(entry, filing)], [])
    (digest,) = await Digests(client).freeze(10)
    return digest


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([line("create", a=(None, "1")), line("update", a=("1", "2"))], ("create", {"/a": (None, "2")})),
        ([line("create", a=(None, "1")), line("delete", a=("1", None))], None),
        ([line("update", a=("1", "2")), line("update", a=("2", "1"))], None),
        (
            [line("update", a=("1", "2")), line("update", b=("5", "6"))],
            ("update", {"/a": ("1", "2"), "/b": ("5", "6")}),
        ),
        (
            [line("update", a=("1", "2")), line("update", b=("5", "6")), line("update", a=("2", "1"))],
            ("update", {"/b": ("5", "6")}),
        ),
        ([line("update", a=("1", "2")), line("delete", a=("2", None))], ("delete", {"/a": ("1", None)})),
        ([line("delete", a=("1", None)), line("create", a=(None, "1"))], None),
        ([line("delete", a=("1", None)), line("create", a=(None, "2"))], ("update", {"/a": ("1", "2")})),
        (
            [line("create", a=(None, "1")), line("delete", a=("1", None)), line("create", a=(None, "3"))],
            ("create", {"/a": (None, "3")}),
        ),
        (
            [line("delete", a=("1", None)), line("create", a=(None, "2")), line("delete", a=("2", None))],
            ("delete", {"/a": ("1", None)}),
        ),
        ([line("update", a=("x … y", "z")), line("update", a=("z", "x … y"))], ("update", {"/a": ("x … y", "x … y")})),
        ([line("update")], None),
    ],
)  # fmt: skip
async def test_what_many_changes_come_to(client: Client, changes: list[Line], left: tuple[str, dict] | None) -> None:
    digest = await told(client, *changes)
    if left is None:
        assert (digest.lines, digest.changes) == ((), 0)
        return
    (one,) = digest.lines
    assert (one.action, {field.pointer: (field.old, field.new) for field in one.fields}) == left
    assert digest.counts == {f"record {left[0]}": 1}
    assert one.title == "Título"
    assert one.children == ()


async def test_objects_are_apart_and_totals_are_of_what_is_left(client: Client) -> None:
    lines = [line("create", f"r{n}", stamp=1_000 + n) for n in range(5)] + [line("delete", "r3", stamp=2_000)]
    digest = await told(client, *lines)
    assert [one.id for one in digest.lines] == ["r0", "r1", "r2", "r4"]
    assert digest.counts == {"record create": 4}
    assert digest.collapse == "net"
    assert await client.redis.keys(client.key("net:*")) == []


async def test_max_listed_holds_and_the_totals_are_of_all(client: Client) -> None:
    rules = DigestRules(wait=0, interval=0, collapse=True, max_listed=2)
    digest = await told(client, *(line("create", f"r{n}") for n in range(5)), rules=rules)
    assert (len(digest.lines), digest.changes) == (2, 5)


async def test_beyond_so_many_objects_the_totals_are_raw_and_the_mail_says_so(client: Client) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    found = await entries(client, stream, 26)
    for number, entry in enumerate(found):
        # 26 events of 400 objects are more than 10,000; then all of them once more.
        lines = tuple(line("create", f"r{number}-{n}").encode() for n in range(400))
        filing = Filing(key(), NET, (ANNA,), {"record create": 400}, lines)
        await stream.file([filed(entry, filing)], [])
    (digest,) = await Digests(client).freeze(10)
    assert digest.collapse == "raw"
    assert digest.counts == {"record create": 26 * 400}


# One object's life: each step says what it has become, None for deleted; values are few, so that they come back.
states = st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


def lived(history: list[dict[str, str] | None]) -> list[Line]:
    """The lines of what happened between the states; steps that Kinto would not tell of are left out."""
    found = []
    for before, after in itertools.pairwise(history):
        if before is None and after is None:
            continue
        old, new = before or {}, after or {}
        names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
        action = "create" if before is None else "delete" if after is None else "update"
        found.append(line(action, **{name: (old.get(name), new.get(name)) for name in names}))
    return found


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(states, min_size=2, max_size=8))
def test_what_is_told_is_the_difference_between_the_ends(server: sync_redis.Redis, history) -> None:
    changes = lived(history)
    if not changes:
        return
    merged = changes[0].encode().encode()
    for one in changes[1:]:
        merged = server.eval(MERGE, 0, merged, one.encode())
    lines, counts = net([Merged(changes[0].action, Line.decode(merged))])
    first, last = history[0], history[-1]
    expected = lived([first, last]) if first != last else []
    # An update that changes nothing is nothing.
    expected = [one for one in expected if one.action != "update" or one.fields]
    shown = [(one.action, sorted((f.pointer, f.old, f.new) for f in one.fields)) for one in lines]
    assert shown == [(one.action, sorted((f.pointer, f.old, f.new) for f in one.fields)) for one in expected]
    assert sum(counts.values()) == len(expected)


def test_a_merged_line_is_read_like_any_other(server: sync_redis.Redis) -> None:
    whole = Line(
        "update",
        "record",
        'é"\\/\u2028',
        fields=(FieldDiff("/a~1b", "1", None),),
        children=(("record", 3),),
        maybe=True,
    )
    merged = server.eval(MERGE, 0, whole.encode(), line("update").encode())
    first, read = _parted(b"update " + merged)
    assert first == "update"
    assert read.fields == whole.fields
    assert read.maybe
    assert json.loads(merged)[7] == 1_795_446_252_000


async def test_a_change_in_what_is_redacted_is_no_nothing(client: Client) -> None:
    """A field went there and back, another one differs that nobody may see: that is told, and no more."""
    there, back = replace(line("update", a=("1", "2")), hidden=True), line("update", a=("2", "1"))
    (one,) = (await told(client, there, back)).lines
    assert (one.fields, one.hidden) == ((), True)


def test_a_line_of_an_older_version_is_merged(server: sync_redis.Redis) -> None:
    older = json.dumps(json.loads(line("update", a=("1", "2")).encode())[:15])
    merged = server.eval(MERGE, 0, older, replace(line("update"), hidden=True).encode())
    assert _parted(b"update " + merged)[1].hidden
    assert not Line.decode(older).hidden


async def test_what_comes_to_nothing_sends_no_mail_and_leaves_nothing(client: Client) -> None:
    stream = Stream(client, "one")
    await stream.ensure_group()
    changes = [line("create", a=(None, "1")), line("delete", a=("1", None))]
    for one, entry in zip(changes, await entries(client, stream, 2), strict=True):
        filing = Filing(key(), NET, (ANNA,), {f"record {one.action}": 1}, (one.encode(),))
        await stream.file([filed(entry, filing)], [])
    telemetry = Telemetry()
    composer = Composer(sender=SENDER)
    digester = Digester(
        Digests(client), Alone(client), lambda: composer, telemetry, bounce_address="b@x.org", ready=lambda: None
    )
    assert await digester.work() == 1
    assert (await overview(client)).deliveries == 0
    left = {name.decode().rpartition(":")[2] for name in await client.redis.keys(client.key("*"))}
    assert not left & {"frozen", "due", "deliveries"}
    assert b'kinto_notify_digests_total{result="empty"} 1.0' in telemetry.exposition()


@pytest.mark.parametrize(("collapse", "said"), [("net", "undone again is left out"), ("raw", "count every change")])
def test_the_mail_says_how_to_read_its_totals(collapse, said) -> None:
    parts = Composer(sender=SENDER).parts(replace(digest(HELLO), collapse=collapse))
    assert said in " ".join(parts.text.split())
    assert said in parts.html


@pytest.mark.parametrize("stamp", [10**17 + 1, 10**400, -(10**400), 0])
async def test_no_time_that_a_writer_names_breaks_the_merge(client: Client, stamp: int) -> None:
    """`last_modified` is the writer's, and a script that fails in the middle has acknowledged what it did not file."""
    (one,) = (await told(client, line("create", stamp=stamp), line("update", stamp=stamp, a=("1", "2")))).lines
    assert one.action == "create"
    assert isinstance(one.timestamp, int)


async def test_a_further_event_is_told_beside_the_object(client: Client) -> None:
    """Its action is the name of its class, and it changes no field."""
    further = [line("ReviewRequested"), line("ReviewRequested"), line("Ä b\nc")]
    digest = await told(client, line("create"), *further, line("delete"))
    assert sorted(one.action for one in digest.lines) == ["ReviewRequested", "Ä b\nc"]
    assert digest.changes == 2
