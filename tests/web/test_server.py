"""The daemon's own HTTP server, spoken to byte by byte (X12, X13)."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kinto_notify.delivery import Deferred, Delivery, Refused, Reply, Sent
from kinto_notify.demo.servers import free_port
from kinto_notify.errors import ConfigError
from kinto_notify.telemetry import Telemetry
from kinto_notify.web.server import WebServer
from support.digests import HELLO, digest

SECURITY = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Asked:
    """An answer, parsed."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}


class House:
    """A server whose rooms can be made to stall."""

    def __init__(self) -> None:
        self.port = free_port()
        self.stalled: list[str] = []
        self.unready: list[str] = []
        self.telemetry = Telemetry()

    def server(self, host: str = "127.0.0.1") -> WebServer:
        return WebServer(
            (host, self.port),
            stalled=lambda: self.stalled,
            unready=lambda: self.unready,
            metrics=self.telemetry.exposition,
            public_host="Notify.example.org",
        )

    async def send(self, raw: bytes) -> bytes:
        """Send bytes and read until the server ends the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            async with asyncio.timeout(60):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask(self, path: str, method: str = "GET", host: str | None = "localhost", more: str = "") -> Asked:
        name = "" if host is None else f"Host: {host}\r\n"
        return Asked(await self.send(f"{method} {path} HTTP/1.1\r\n{name}Connection: close\r\n{more}\r\n".encode()))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    async with made.server():
        yield made


async def test_health_says_what_stalls(house: House) -> None:
    well = await house.ask("/healthz")
    assert (well.status, well.body) == (200, b"ok\n")
    house.stalled[:] = ["courier", "intake"]
    ill = await house.ask("/healthz")
    assert (ill.status, ill.body) == (503, b"stalled: courier, intake\n")
    house.stalled.clear()
    assert (await house.ask("/healthz")).status == 200


async def test_readiness_says_why_not(house: House) -> None:
    ready = await house.ask("/readyz")
    assert (ready.status, ready.body) == (200, b"ready\n")
    house.unready[:] = ["Redis does not serve: intake", "no smarthost can be used"]
    unready = await house.ask("/readyz")
    assert (unready.status, unready.body) == (503, b"Redis does not serve: intake\nno smarthost can be used\n")
    assert (await house.ask("/healthz")).status == 200


MONITORS = ("/healthz", "/readyz", "/metrics")


@pytest.mark.parametrize("path", [*MONITORS, "/", "/no/such/page", "/metrics/../healthz"])
@pytest.mark.parametrize("host", ["localhost", "evil.example", "daemon"])
async def test_every_answer_carries_the_same_headers(house: House, path: str, host: str) -> None:
    """And monitors may call it by any name, that of a container's service for one."""
    answer = await house.ask(path, host=host)
    assert answer.headers.items() >= SECURITY.items()
    assert answer.status == (200 if path in MONITORS else 404 if host == "localhost" else 421)


@pytest.mark.parametrize("host", ["notify.example.org", "NOTIFY.example.org:443"])
async def test_the_world_learns_only_that_it_is_alive(house: House, host: str) -> None:
    assert [(await house.ask(path, host=host)).status for path in (*MONITORS, "/")] == [200, 421, 421, 421]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:9464", 200),
        ("127.0.0.1:9464", 200),
        ("192.0.2.7", 200),
        ("[::1]", 200),
        ("[::1]:9464", 200),
        ("evil.example", 421),
        ("localhost.evil.example:9464", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:9464@evil.example", 421),
        ("2130706433", 421),
        ("[evil.example]:9464", 421),
    ],
)
async def test_x12_a_rebound_name_learns_nothing(house: House, host: str, status: int) -> None:
    """A page elsewhere whose name was made to point here sends its own name; an address it cannot forge."""
    answer = await house.ask("/some/page", host=host)
    assert answer.status == (404 if status == 200 else status)


async def test_a_monitor_that_names_no_host_is_answered(house: House) -> None:
    assert Asked(await house.send(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 200


async def test_the_name_it_is_bound_to_is_its_own() -> None:
    house = House()
    async with house.server("localhost"):
        assert (await house.ask("/healthz", host=f"localhost:{house.port}")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", MONITORS)
async def test_only_reading_is_allowed(house: House, method: str, path: str) -> None:
    answer = await house.ask(path, method, more="Content-Length: 0\r\n")
    assert (answer.status, answer.headers["allow"]) == (405, "GET,HEAD")
    assert answer.headers.items() >= SECURITY.items()


async def test_head_is_get_without_a_body(house: House) -> None:
    answer = await house.ask("/healthz", "HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "3")


async def test_x12_a_client_that_sends_nothing_more_is_let_go(house: House) -> None:
    silent, half, idle = await asyncio.gather(
        house.send(b""),
        house.send(b"GET /healthz HTTP/1.1\r\nHost: loc"),
        house.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
    assert (silent, half) == (b"", b"")
    assert Asked(idle).body == b"ok\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["tls", "long header", "long line"],
)
async def test_x12_what_is_no_request_is_refused_and_the_next_one_served(house: House, raw: bytes) -> None:
    assert Asked(await house.send(raw)).status == 400
    assert (await house.ask("/healthz")).status == 200


async def test_a_hundred_clients_that_hold_on_do_not_keep_it_from_closing() -> None:
    house = House()
    async with house.server():
        held = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(100)]
        assert (await house.ask("/healthz")).status == 200
    for reader, writer in held:
        assert await reader.read() == b""
        writer.close()


async def test_a_taken_port_is_a_fault_of_the_configuration(house: House) -> None:
    other = House()
    other.port = house.port
    with pytest.raises(ConfigError, match=rf"KINTO_NOTIFY_WEB_BIND: cannot listen on 127\.0\.0\.1:{house.port}: "):
        async with other.server():
            pass


async def test_a_host_that_is_not_ours_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"KINTO_NOTIFY_WEB_BIND: cannot listen on 192\.0\.2\.1:"):
        async with House().server("192.0.2.1"):
            pass


# What is told.

DELIVERY = Delivery(
    "d", 1, 0, "kinto@example.org", "ann@example.net", b"", "b", 9_000, "file#secret-name", oldest=5_000
)
REPLY = Reply(250, "taken for ann@example.net in bucket-name", "dot")


@pytest.fixture
def lived(house: House, capsys: pytest.CaptureFixture[str]) -> House:
    """A house in which everything that is counted has happened."""
    told = house.telemetry
    frozen = digest(HELLO, group=(("bucket_id", "bucket-name"), ("user_id", "account:alice")), name="secret-name")
    acts: list[Callable[[], None]] = [
        lambda: told.filed(3, 1, 1),
        lambda: told.entries_lost(["1-1"]),
        lambda: told.poison("1-2", "bucket-name"),
        lambda: told.composed(frozen, 2),
        lambda: told.digest_buried(frozen.id, frozen.key.identity, "bucket-name"),
        lambda: told.attempt(DELIVERY, Sent(REPLY), 100),
        lambda: told.attempt(DELIVERY, Deferred(REPLY, 0, True), 100),
        lambda: told.attempt(DELIVERY, Refused(REPLY), 100),
        lambda: told.returned(DELIVERY, "ann@example.net"),
        lambda: told.gave_up(DELIVERY, 1),
        lambda: told.relay_down("ann@example.net"),
        lambda: told.store_lost("intake", "bucket-name"),
        lambda: told.store_back("intake"),
        lambda: told.waiting({"stream": 7, "dead_letters": 2}, 4),
    ]
    for act in acts:
        act()
    assert "ann@" not in capsys.readouterr().out
    return house


async def test_the_exposition_is_what_prometheus_reads(lived: House) -> None:
    answer = await lived.ask("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert samples["kinto_notify_events_total", ("filed",)] == 3
    assert samples["kinto_notify_events_total", ("buried",)] == 1
    assert samples["kinto_notify_events_total", ("lost",)] == 1
    assert samples["kinto_notify_digests_total", ("composed",)] == 1
    for outcome in ("sent", "deferred", "refused", "returned"):
        assert samples["kinto_notify_deliveries_total", (outcome,)] == 1
    assert samples["kinto_notify_ambiguous_total", ()] == 1
    assert samples["kinto_notify_delivery_seconds_count", ()] == 1
    assert samples["kinto_notify_end_to_end_seconds_sum", ()] == 4.1
    assert samples["kinto_notify_relay_up", ()] == 0
    assert samples["kinto_notify_store_up", ("intake",)] == 1
    assert samples["kinto_notify_waiting", ("stream",)] == 7
    assert samples["kinto_notify_sessions_busy", ()] == 4


async def test_x13_no_label_names_a_person_or_a_bucket(lived: House) -> None:
    body = (await lived.ask("/metrics")).body.decode()
    for name in ("ann", "example", "bucket-name", "alice", "secret-name", "sha256"):
        assert name not in body
    samples = [one for family in text_string_to_metric_families(body) for one in family.samples]
    labels = {label for one in samples for label in one.labels}
    assert labels == {"result", "outcome", "room", "kind", "le"}


async def test_all_series_are_there_from_the_start(house: House) -> None:
    """An alert on a rate must not miss the first one."""
    body = (await house.ask("/metrics")).body.decode()
    for outcome in ("sent", "deferred", "refused", "returned"):
        assert f'kinto_notify_deliveries_total{{outcome="{outcome}"}} 0.0' in body
    for result in ("composed", "buried"):
        assert f'kinto_notify_digests_total{{result="{result}"}} 0.0' in body
