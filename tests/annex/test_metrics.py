"""Depth and age of the outbox in Kinto's own metrics, seen from outside of a real Kinto."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinto_notify.demo.servers import KintoServer, RedisServer, free_port
from support.stream import StreamReader, eventually

INCLUDES = "kinto.includes = "
AWAY = "redis://127.0.0.1:{port}/0"


def measured(directory: Path, redis_url: str, plugin: str, extra: str = "") -> KintoServer:
    """A Kinto with one of its two plug-ins for metrics."""
    kinto = KintoServer(directory, redis_url, extra)
    text = kinto.ini.read_text()
    kinto.ini.write_text(text.replace(INCLUDES, f"{INCLUDES}kinto.plugins.{plugin} "))
    return kinto


class Gauges:
    """What came to a StatsD port so far: the last value of each gauge, the sum of each counter."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.values: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        while True:
            try:
                told = self.link.recv(65536).decode()
            except BlockingIOError:
                return self.values
            for line in told.splitlines():
                name, _, rest = line.partition(":")
                value, _, kind = rest.partition("|")
                if kind == "g":
                    self.values[name] = float(value)
                elif kind == "c":
                    self.values[name] = self.values.get(name, 0) + float(value)


@pytest.fixture
def gauges() -> Iterator[Gauges]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 0))
        link.setblocking(False)
        yield Gauges(link)


def write(kinto: KintoServer, number: int) -> None:
    for n in range(number):
        assert kinto.request("PUT", f"/buckets/b{n}")[0] == 201


def test_statsd_has_depth_and_age_as_gauges(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader, gauges: Gauges
) -> None:
    port = free_port()
    statsd = f"kinto.statsd_url = udp://127.0.0.1:{gauges.link.getsockname()[1]}"
    with measured(tmp_path, AWAY.format(port=port), "statsd", statsd) as kinto:
        write(kinto, 3)
        began = time.monotonic()
        depth, age = "kinto.kinto_notify.outbox_depth", "kinto.kinto_notify.outbox_age_seconds"
        eventually(lambda: gauges.read().get(depth) == 3)
        # It grows by a second a second.
        eventually(lambda: gauges.read()[age] > 1.5)
        assert gauges.read()[age] < time.monotonic() - began + 30
        server = RedisServer(tmp_path)
        server.port = port
        with server:
            reader = StreamReader(server.url)
            reader.wait(3)
            reader.close()
            eventually(lambda: (gauges.read()[depth], gauges.read()[age]) == (0, 0))


def test_statsd_counts_what_must_not_be(
    tmp_path: Path, redis_server: RedisServer, stream: StreamReader, gauges: Gauges
) -> None:
    """Here: a spool directory that can't be made."""
    statsd = f"kinto.statsd_url = udp://127.0.0.1:{gauges.link.getsockname()[1]}"
    with measured(tmp_path, redis_server.url, "statsd", statsd) as kinto:
        kinto.spool.write_text("not a directory")
        write(kinto, 1)
        stream.wait(1)
        eventually(lambda: gauges.read().get("kinto.kinto_notify.spool_faults", 0) > 0)


def test_prometheus_has_them_as_summaries(tmp_path: Path) -> None:
    """The increase of the sum by that of the count is the mean of what was observed, once a second."""
    with measured(tmp_path, AWAY.format(port=free_port()), "prometheus") as kinto:
        write(kinto, 3)

        def told(name: str) -> float:
            lines = kinto.request("GET", "/__metrics__")[1].decode().splitlines()
            values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            return float(values.get(f"kinto_kinto_notify_outbox_{name}", 0))

        eventually(lambda: told("depth_sum") >= 3)
        depth, count = told("depth_sum"), told("depth_count")
        eventually(lambda: told("depth_count") >= count + 2)
        assert (told("depth_sum") - depth) % 3 == 0
        eventually(lambda: told("age_seconds_sum") > 1)
