"""S19: names that lead nowhere, to a dead IPv6, or to a DNS that never answers.

The DNS is a scripted one, like the relay: `Resolver` is given what answers in the place of `getaddrinfo`.
"""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from kinto_notify.delivery import Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import Relay, Tls
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.resolver import Found, Resolver
from kinto_notify.smtp.timeouts import Timeouts
from support.envelopes import QUICK, envelope, persist
from support.smtp_server import SmtpServer
from support.waiting import until


class Dns:
    """Answers with these addresses, once `open` is set."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.open = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *, type: int) -> Found:
        self.asked.append(host)
        self.open.wait()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        found: list[tuple[int, int, int, str, tuple[object, ...]]] = []
        for address in self.addresses:
            found += socket.getaddrinfo(address, port, type=type)
        return found


@pytest.fixture
def dns() -> Iterator[Dns]:
    made = Dns("127.0.0.1")
    yield made
    made.open.set()


def named(server: SmtpServer, dns: Dns, sessions: int = 3, timeouts: Timeouts = QUICK) -> Pool:
    relay = Relay("relay.example.org", server.port, Tls.CLEAR)
    return Pool((relay,), sessions=sessions, timeouts=timeouts, resolver=Resolver("kinto.example.org", dns))


def threads() -> int:
    return sum(thread.name == "kinto-notify-dns" for thread in threading.enumerate())


async def test_s19_sessions_that_open_together_ask_once(server: SmtpServer, dns: Dns) -> None:
    dns.open.set()
    pool = named(server, dns)
    outcomes = await asyncio.gather(*(pool.send(envelope(f"r{number}@example.org")) for number in range(3)))
    assert all(isinstance(one, Sent) for one in outcomes)
    assert (server.most, dns.asked) == (3, ["relay.example.org"])
    await pool.close()


async def test_s19_an_address_asks_nobody(server: SmtpServer, dns: Dns) -> None:
    relay = Relay("127.0.0.1", server.port, Tls.CLEAR)
    pool = Pool((relay,), sessions=1, timeouts=QUICK, resolver=Resolver("kinto.example.org", dns))
    assert isinstance(await pool.send(envelope()), Sent)
    assert dns.asked == []
    await pool.close()


async def test_s19_a_name_that_does_not_resolve_now_is_the_relays_fault(server: SmtpServer, dns: Dns) -> None:
    dns.addresses = ()
    dns.open.set()
    pool = named(server, dns)
    with pytest.raises(RelayFault) as caught:
        await pool.send(envelope())
    told = f"relay.example.org:{server.port} at connect: no address found: Temporary failure in name resolution"
    assert str(caught.value) == told
    dns.addresses = ("127.0.0.1",)
    assert isinstance(await persist(pool, envelope()), Sent)
    await pool.close()


async def test_s19_a_dns_that_hangs_blocks_nobody_else_and_piles_up_no_threads(server: SmtpServer, dns: Dns) -> None:
    hung = named(server, dns, sessions=10, timeouts=Timeouts(connect=0.05, pause_least=0.01, pause_most=0.01))
    # That of the test before may not have ended yet.
    until(lambda: not threads())
    for _ in range(5):
        await hung.ready()
        told = await asyncio.gather(*(hung.send(envelope()) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(one, RelayFault) for one in told)
        assert "at connect: no answer in time" in str(told[0])
        # The loop's own pool, where Redis looks up its host, is free, and so is the loop.
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(20)))
    assert (threads(), dns.asked) == (1, ["relay.example.org"])
    dns.open.set()
    assert isinstance(await persist(hung, envelope()), Sent)
    await hung.close()


def test_s19_a_dns_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = (
        "import asyncio, time\n"
        "from kinto_notify.smtp.resolver import Resolver\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.05):\n"
        "            await Resolver('me', lambda *_, **__: time.sleep(3600)).addresses('relay.example.org', 25)\n"
        "    except TimeoutError:\n"
        "        print('gave up')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("gave up\n", "")


@pytest.mark.parametrize("dead", ["refuses", "drops"])
async def test_s19_a_dead_ipv6_does_not_keep_a_living_ipv4_away(server: SmtpServer, dns: Dns, dead: str) -> None:
    dns.addresses = ("::1", "127.0.0.1")
    dns.open.set()
    with socket.socket(socket.AF_INET6) as hole:
        fillers = []
        if dead == "drops":
            # A listener whose queue is full answers no SYN, as a network that has no route back.
            hole.bind(("::1", server.port))
            hole.listen(0)
            for _ in range(8):
                filler = socket.socket(socket.AF_INET6)
                filler.setblocking(False)
                filler.connect_ex(("::1", server.port))
                fillers.append(filler)
        pool = named(server, dns, sessions=1, timeouts=Timeouts(connect=2.0))
        assert isinstance(await pool.send(envelope()), Sent)
        assert (len(server.mails), pool.fault) == (1, None)
        await pool.close()
        for filler in fillers:
            filler.close()


async def test_s19_no_address_at_all_is_a_clear_error(dns: Dns) -> None:
    dns.addresses = ("::1", "127.0.0.1")
    dns.open.set()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = Relay("relay.example.org", unused.getsockname()[1], Tls.CLEAR)
        pool = Pool((relay,), sessions=1, timeouts=QUICK, resolver=Resolver("kinto.example.org", dns))
        with pytest.raises(RelayFault, match="at connect: connection refused"):
            await pool.send(envelope())
        await pool.close()
