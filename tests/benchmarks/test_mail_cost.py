"""What the table of mails says is what was measured: its verdicts, its counts, its events."""

import sys
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from kinto_notify.demo.servers import RedisServer
from kinto_notify.event import parse_event
from mails.contestant import ListPeer, batches
from mails.events import stream_of
from mails.sink import Missing, find, last_count
from mails.used import processor
from mails.verdict import at_least, below, told, within


def test_a_line_holds_only_where_it_should() -> None:
    assert at_least("speed", 10.0, "theirs", 1.0, 10).holds
    assert not at_least("speed", 9.9, "theirs", 1.0, 10).holds
    assert within("cost", 1.2, "theirs", 1.0, 1.2, "µs").holds
    assert not within("cost", 1.21, "theirs", 1.0, 1.2, "µs").holds
    assert below("weight", 1023, 1024, "bytes").holds
    assert not below("weight", 1024, 1024, "bytes").holds


def test_a_line_tells_both_numbers_their_ratio_and_the_verdict() -> None:
    line = str(at_least("speed", 4_000, "script", 1_000, 10))
    assert line == "| speed | 4,000 mails/s | script: 1,000 mails/s | 4.00 x | >= 10 x | **NO** |"


def test_a_bound_is_told_and_not_judged() -> None:
    assert str(told("speed", 1.0, "bare", 2.0)) == "| speed | 1 mails/s | bare: 2 mails/s | 0.50 x |  |  |"


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (b"", 0),
        (b"sess=      1 quit=      0 mesg=     12\r", 12),
        # The last one is being written.
        (b"sess=      1 quit=      0 mesg=     12\rsess=      1 quit=      0 mesg=   1", 12),
        (b"sess=      1 quit=      0 mesg=     12\r" * 50 + b"sess=      1 quit=      0 mesg=3000\r", 3000),
    ],
)
def test_mails_are_counted_from_the_end_of_what_the_sink_writes(tmp_path: Path, written: bytes, count: int) -> None:
    log = tmp_path / "smtp-sink.log"
    log.write_bytes(written)
    assert last_count(log) == count


def test_each_event_is_one_of_its_own_that_the_daemon_takes() -> None:
    events = [parse_event(text) for text in stream_of(20, collections=10)]
    assert len({event.id for event in events}) == 20
    assert [event.data.collection_id for event in events].count("articles-3") == 2
    assert events[0].data.changes[0].new != events[0].data.changes[0].old


def test_batches_hold_all_in_their_order() -> None:
    assert list(batches(iter([b"1", b"2", b"3"]), 2)) == [(b"1", b"2"), (b"3",)]


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    with pytest.raises(Missing, match=r"no-such-sink is missing.*apt install postfix"):
        find("no-such-sink")


class Popping(ListPeer):
    """Says `ready`, and then turns: a program that takes processor time unless it is held."""

    name = "popping"

    def command(self) -> list[str]:
        return [sys.executable, "-uc", "print('ready')\nwhile True: pass"]


def test_a_contestant_that_is_held_takes_no_time_and_is_given_its_events(
    tmp_path: Path,
) -> None:
    with RedisServer(tmp_path) as server, Popping(tmp_path, server.url, 1) as peer:
        running = processor(peer)
        while processor(peer) <= running:
            pass
        peer.hold()
        held = processor(peer)
        peer.give([b"one", b"two"])
        assert processor(peer) == held
        with redis.Redis.from_url(server.url) as client:
            assert client.lrange(peer.name, 0, -1) == [b"two", b"one"]
        peer.go()
        while processor(peer) <= held:
            pass
