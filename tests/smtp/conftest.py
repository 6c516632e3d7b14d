"""A scripted server, which takes commands together or one by one, and a pool of three sessions to it."""

from collections.abc import AsyncIterator

import pytest

from kinto_notify.smarthost import parse_relays
from kinto_notify.smtp.pool import Pool
from kinto_notify.smtp.resolver import Resolver
from support.envelopes import QUICK
from support.smtp_server import SmtpServer


@pytest.fixture(params=[("PIPELINING",), ()], ids=["pipelined", "one-by-one"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[SmtpServer]:
    async with SmtpServer(extensions=(*request.param, "SIZE 10485760", "8BITMIME", "SMTPUTF8")) as running:
        yield running


@pytest.fixture
async def pool(server: SmtpServer) -> AsyncIterator[Pool]:
    made = Pool(parse_relays(server.url), sessions=3, timeouts=QUICK, resolver=Resolver("kinto.example.org"))
    yield made
    await made.close()
