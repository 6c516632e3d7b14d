"""D11 to D20: daemons that are stopped, blocked, asked to end at a bad moment, or live by a wrong clock."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify.demo.servers import RedisServer
from kinto_notify.digester import FATAL_TIMES, WORN_LEASES
from support.daemon import DaemonProcess, FaultyDaemon
from support.events import change, event, publish
from support.inbox import letters, uris
from support.rest import MAY_STAY, at_rest, keys_for_ever, later
from support.smtp_script import hang, say
from support.smtp_server import SmtpServerThread
from support.stream import eventually

PREFIX = "{kinto-notify}"
Make = Callable[..., FaultyDaemon]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as made:
        yield made


@pytest.fixture
def make(tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]) -> Iterator[Make]:
    """Make a daemon of this name."""
    made: list[FaultyDaemon] = []

    def one(name: str = "one", **variables: str) -> FaultyDaemon:
        made.append(FaultyDaemon(tmp_path, redis_server.url, smtp.url, **{**machine, "name": name, **variables}))
        return made[-1]

    yield one
    for daemon in made:
        daemon.kill()


def stopped(daemon: DaemonProcess) -> bool:
    """Whether the kernel says that it is stopped."""
    assert daemon.process is not None
    return Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def subscribe(machine: dict[str, str], *recipients: str, **digest: str) -> None:
    table = Path(machine["subscriptions"])
    text = table.read_text().replace('["anna@example.org"]', json.dumps(recipients))
    for name, value in digest.items():
        text = text.replace(f'{name} = "0s"', f'{name} = "{value}"')
    table.write_text(text)


def test_d11_a_zombie_hands_nothing_over(
    make: Make, redis_server: RedisServer, smtp: SmtpServerThread, client: redis.Redis
) -> None:
    """Stopped between the 354 and the body until another has delivered: its own clock tells that the lease is over."""
    zombie = make("zombie").faulty("before the body", "stop", lease=3).start()
    publish(redis_server.url, "kinto-notify", event(change("x")))
    eventually(lambda: stopped(zombie))
    with make("other").faulty(lease=3) as other:
        smtp.wait_for(1, 60)
        eventually(lambda: at_rest(client))
        zombie.signal(signal.SIGCONT)
        zombie.wait_told("lease lost")
        assert (zombie.stop(), other.stop()) == (0, 0)
    assert [letter.recipient for letter in letters(smtp.mails)] == ["anna@example.org"]
    assert keys_for_ever(client) <= MAY_STAY


def test_d12_an_endless_template_ends_with_its_own_digest(
    make: Make, redis_server: RedisServer, smtp: SmtpServerThread, client: redis.Redis, machine: dict[str, str]
) -> None:
    """The watchdog kills a daemon that is blocked by a template: after some times that digest alone is buried."""
    # It ends in the sample that templates are tried on, where there is no such title.
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    endless = "{% for c in changes %}{% if c.title == 'Title of fatal' %}" + loop + "{% endif %}{% endfor %}"
    (Path(machine["templates"]) / "endless.txt").write_text(endless)
    table = Path(machine["subscriptions"])
    other = table.read_text().replace('"all"', '"endless"').replace('"machine"', '"endless"').replace("anna@", "eve@")
    table.write_text(table.read_text() + other)
    publish(redis_server.url, "kinto-notify", event(change("fatal")))
    for life in range(1, WORN_LEASES + FATAL_TIMES + 1):
        daemon = make(f"life{life}").start()
        eventually(lambda life=life: fence(client) >= life and tried_alone(client) >= life - WORN_LEASES)
        daemon.kill()
        later(client)
    with make("last") as daemon:
        (told,) = daemon.wait_told("digest buried")
        assert "composed alone" in told["reason"]
        eventually(lambda: at_rest(client))
        assert daemon.stop() == 0
    assert {letter.recipient for letter in letters(smtp.mails)} == {"anna@example.org"}
    assert client.zcard(f"{PREFIX}:dead") == 1


def endless_digest(client: redis.Redis) -> bytes:
    """The id of the frozen digest whose template never ends; the other one of the event is frozen beside it."""
    keys = [key for key in client.keys(f"{PREFIX}:frozen:*") if client.hget(key, "identity") == b"file#endless"]
    return keys[0].rpartition(b":")[2] if keys else b""


def fence(client: redis.Redis) -> int:
    """How often it was leased."""
    return int(client.hget(f"{PREFIX}:frozen:{endless_digest(client).decode()}", "fence") or 0)


def tried_alone(client: redis.Redis) -> int:
    """How often it was begun alone."""
    return int(client.hget(f"{PREFIX}:alone", endless_digest(client)) or 0)


def test_d13_fifty_in_flight_are_finished_and_one_hanging_dot_is_ambiguous(
    make: Make, redis_server: RedisServer, smtp: SmtpServerThread, client: redis.Redis, machine: dict[str, str]
) -> None:
    everybody = {f"r{n}@example.org" for n in range(50)}
    subscribe(machine, *sorted(everybody))
    gate = asyncio.Event()
    smtp.server.script["dot"] = [hang(accept=True), *[say("250 2.0.0 queued", gate=gate)] * 49]
    daemon = make(smtp_sessions="50", drain_timeout="5s").start()
    publish(redis_server.url, "kinto-notify", event(change("x")))
    eventually(lambda: smtp.server.reached["dot"] == 50)
    daemon.signal(signal.SIGTERM)
    daemon.wait_told("draining")
    # What comes now waits for the next daemon.
    publish(redis_server.url, "kinto-notify", event(change("y")))
    smtp._loop.call_soon_threadsafe(gate.set)
    assert daemon.process is not None
    assert daemon.process.wait(60) == 0
    assert (len(daemon.told("sent")), daemon.told("stopped")[0]["drained"]) == (49, False)
    ((_, due),) = client.zrange(f"{PREFIX}:deliveries", 0, -1, withscores=True)
    assert due / 1000 > client.time()[0] + 500
    with make("next") as following:
        eventually(lambda: len(uris(letters(list(smtp.mails)))) == 2)
        smtp.wait_for(100)
        assert following.stop() == 0
    assert len({letter.ident for letter in letters(smtp.mails)}) == len(smtp.mails) == 100


@pytest.mark.parametrize(
    "point",
    ["read", "filed", "frozen", "composing", "fanned out", "leased", "opened", "before the body", "replied", "settled"],
)
def test_d14_asked_to_end_at_any_point(
    make: Make,
    redis_server: RedisServer,
    smtp: SmtpServerThread,
    client: redis.Redis,
    machine: dict[str, str],
    point: str,
) -> None:
    """SIGTERM there: it always ends, what it has in hand is finished or given back, and nothing is sent twice."""
    subscribe(machine, "anna@example.org", "ben@example.org")
    publish(redis_server.url, "kinto-notify", *(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(8)))
    daemon = make().faulty(point, "term").start()
    assert daemon.process is not None
    assert daemon.process.wait(60) == 0
    assert daemon.told("stopped")[0]["drained"] is True
    later(client)
    following = make("next").start("--once")
    assert following.process is not None
    assert following.process.wait(60) == 0
    assert len({letter.ident for letter in letters(smtp.mails)}) == len(smtp.mails) == 16
    assert at_rest(client)
    assert keys_for_ever(client) <= MAY_STAY


def test_d17_a_bug_met_by_one_digest_buries_that_one(
    make: Make, redis_server: RedisServer, smtp: SmtpServerThread, client: redis.Redis
) -> None:
    publish(redis_server.url, "kinto-notify", *(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(3)))
    with make().faulty("composing", "raise", 2) as daemon:
        (told,) = daemon.wait_told("digest buried")
        assert told["reason"] == "cannot be composed: RuntimeError"
        eventually(lambda: at_rest(client))
        assert daemon.stop() == 0
    assert len(smtp.mails) == 2
    assert client.zcard(f"{PREFIX}:dead") == 1


@pytest.mark.parametrize("jump", ["ahead", "back"])
def test_d20_a_clock_that_jumps_a_day_moves_no_digest(
    make: Make,
    redis_server: RedisServer,
    smtp: SmtpServerThread,
    client: redis.Redis,
    machine: dict[str, str],
    jump: str,
) -> None:
    """After the filing the daemon's host is a day off; the digest is due when Redis says so, and leases hold."""
    subscribe(machine, "anna@example.org", wait="2s")
    with make().faulty("filed", jump) as daemon:
        daemon.wait_told("ready")
        publish(redis_server.url, "kinto-notify", event(change("x")))
        eventually(lambda: client.zcard(f"{PREFIX}:due"))
        ((_, due),) = client.zrange(f"{PREFIX}:due", 0, -1, withscores=True)
        smtp.wait_for(1, 60)
        seconds, micros = client.time()
        assert seconds * 1000 + micros / 1000 >= due
        eventually(lambda: at_rest(client))
        assert daemon.stop() == 0
        (sent,) = daemon.told("sent")
        (starting,) = daemon.told("starting")
        assert sent["timestamp"][:10] != starting["timestamp"][:10], "the clock did not jump"
        assert daemon.told("lease lost") == []
    assert len(smtp.mails) == 1
