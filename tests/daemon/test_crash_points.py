"""D01 to D10: a daemon is killed at each named point of the way of an event, and another finds what it left.

Nothing is lost and nothing is doubled, but what may have been on the wire: the smarthost has it already, and a second
copy carries the same Message-ID. At rest Redis holds only what may stay.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from kinto_notify import wire
from kinto_notify.demo.servers import RedisServer
from kinto_notify.smtp.slots import DEPTH
from support.daemon import DaemonProcess, FaultyDaemon
from support.events import change, event, publish
from support.inbox import letters
from support.rest import MAY_STAY, at_rest, keys_for_ever, later
from support.smtp_script import say
from support.smtp_server import SmtpServerThread
from support.stream import eventually

PREFIX = "{kinto-notify}"
RECIPIENTS = ("anna@example.org", "ben@example.org", "chris@example.org")
#: Of a collection each: sixty mails, many more than may be seen twice.
EVENTS = 20
#: One fan-out script takes so many deliveries: a digest of more needs several steps.
STEP = 500

#: What a daemon has leases of at most: as much of it as is sent and not told to Redis yet is sent again.
LEASED = 10 * DEPTH
#: Where the daemon dies, at which passage, and how many mails the smarthost may see twice: none that no session had.
POINTS = [
    pytest.param("read", 1, 0, id="D01 entries read, none filed"),
    pytest.param("file half", 1, 0, id="D02 half of the filing is on its way to Redis"),
    pytest.param("file unanswered", 1, 0, id="D02 filed, and the answer not read"),
    pytest.param("filed", 1, 0, id="D03 filed"),
    pytest.param("frozen", 1, 0, id="D04 digests frozen, none composed"),
    pytest.param("composing", 2, 0, id="D04 one digest composed, the next one not"),
    pytest.param("fan_out half", 1, 0, id="D04 half of the fan-out is on its way to Redis"),
    pytest.param("fan_out unanswered", 1, 0, id="D04 fanned out, and the answer not read"),
    pytest.param("leased", 1, 0, id="D04 leased, no connection yet"),
    pytest.param("opened", 1, 0, id="D04 connected"),
    pytest.param("before the body", 1, 0, id="D06 after the 354, before the body"),
    pytest.param("replied", 1, 10, id="D08 after the 250, before it is noted"),
    pytest.param("settle half", 1, LEASED, id="D08 half of the settlement is on its way to Redis"),
    pytest.param("settle unanswered", 2, LEASED, id="D08 settled, and the answer not read"),
    pytest.param("settled", 2, LEASED, id="D10 settled, others on the wire"),
]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as made:
        yield made


@pytest.fixture
def daemon(
    tmp_path: Path, redis_server: RedisServer, smtp: SmtpServerThread, machine: dict[str, str]
) -> Iterator[FaultyDaemon]:
    """The one that dies; three recipients for each change."""
    table = Path(machine["subscriptions"])
    table.write_text(table.read_text().replace('["anna@example.org"]', json.dumps(RECIPIENTS)))
    made = FaultyDaemon(tmp_path, redis_server.url, smtp.url, **machine)
    yield made
    made.kill()


def written(redis_server: RedisServer, number: int = EVENTS) -> set[str]:
    """Publish events of four collections; return the URIs of their objects."""
    publish(redis_server.url, "kinto-notify", *(event(change(f"r{n}"), collection_id=f"c{n}") for n in range(number)))
    return {f"/buckets/b/collections/c/records/r{n}" for n in range(number)}


def inherit(dead: DaemonProcess, client: redis.Redis) -> None:
    """Wait for the end of a daemon; let its minute pass, and another one finish what it left."""
    assert dead.process is not None
    assert dead.process.wait(30) == -9
    dead.process = None
    later(client)
    with DaemonProcess(dead.log.parent, **{**dead.variables, "name": "heir", "web_bind": "off"}) as heir:
        heir.wait_told("ready")
        eventually(lambda: at_rest(client))
        assert heir.stop() == 0
        assert {line["level"] for line in heir.lines()} <= {"info", "debug", "warning"}


def check(smtp: SmtpServerThread, client: redis.Redis, uris: set[str], copies: int) -> None:
    found = letters(smtp.mails)
    told = Counter((one.uri, letter.recipient, letter.ident) for letter in found for one in letter.told())
    assert {(uri, recipient) for uri, recipient, _ in told} == {(u, r) for u in uris for r in RECIPIENTS}
    # One Message-ID for each change and recipient.
    assert len({(uri, recipient) for uri, recipient, _ in told}) == len(told)
    assert len(found) - len({letter.ident for letter in found}) <= copies
    assert client.zcard(f"{PREFIX}:dead") == 0
    assert keys_for_ever(client) <= MAY_STAY
    assert client.xpending(wire.events_key("kinto-notify"), "kinto-notify")["pending"] == 0


@pytest.mark.parametrize(("point", "passage", "copies"), POINTS)
def test_killed_at(
    daemon: FaultyDaemon,
    redis_server: RedisServer,
    smtp: SmtpServerThread,
    client: redis.Redis,
    point: str,
    passage: int,
    copies: int,
) -> None:
    uris = written(redis_server)
    daemon.faulty(point, passage=passage).start()
    inherit(daemon, client)
    check(smtp, client, uris, copies)


@pytest.mark.parametrize(
    ("phase", "copies"),
    [
        pytest.param("mail", 0, id="D05 after MAIL"),
        pytest.param("rcpt", 0, id="D05 after RCPT"),
        pytest.param("data", 0, id="D06 after DATA"),
        pytest.param("dot", 10, id="D07 after the dot, before the 250"),
    ],
)
def test_killed_while_the_relay_is_asked(
    daemon: FaultyDaemon,
    redis_server: RedisServer,
    smtp: SmtpServerThread,
    client: redis.Redis,
    phase: str,
    copies: int,
) -> None:
    """The relay has read the command (the message, at the dot) and says nothing while the daemon is killed."""
    uris = written(redis_server)
    gate = asyncio.Event()
    answers = {"mail": "250 2.1.0 ok", "rcpt": "250 2.1.5 ok", "data": "354 go", "dot": "250 2.0.0 queued"}
    smtp.server.script[phase] = say(answers[phase], gate=gate)
    daemon.start()
    eventually(lambda: smtp.server.reached[phase] >= 3)
    daemon.signal(9)
    assert daemon.process is not None
    daemon.process.wait()
    smtp.server.script.clear()
    smtp._loop.call_soon_threadsafe(gate.set)
    inherit(daemon, client)
    check(smtp, client, uris, copies)


def test_killed_between_two_steps_of_one_fan_out(
    daemon: FaultyDaemon,
    redis_server: RedisServer,
    smtp: SmtpServerThread,
    client: redis.Redis,
    machine: dict[str, str],
) -> None:
    """D04, L04: 1,201 recipients are three steps; the heirs go on at the cursor and make no delivery twice."""
    table = Path(machine["subscriptions"])
    everybody = [f"r{n}@example.org" for n in range(2 * STEP + 201)]
    table.write_text(table.read_text().replace(json.dumps(RECIPIENTS), json.dumps(everybody)))
    written(redis_server, 1)
    daemon.faulty("fanned out", passage=2).start()
    inherit(daemon, client)
    assert Counter(mail.recipient for mail in smtp.mails).keys() == set(everybody)
    assert len(smtp.mails) - len(everybody) <= 10
    assert keys_for_ever(client) <= MAY_STAY
