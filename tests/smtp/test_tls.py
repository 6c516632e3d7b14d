"""TLS (S04, S05, S06): not one byte of mail or login goes where the relay's name was not proved."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from kinto_notify.delivery import Envelope, Sent
from kinto_notify.errors import RelayFault
from kinto_notify.smarthost import Relay, Tls, parse_relays
from kinto_notify.smtp.pool import Pool
from support.envelopes import QUICK, persist
from support.smtp_server import SmtpServer, raw, tls_contexts

ENVELOPE = Envelope("bounces@example.org", "ann@example.org", b"Subject: hello\r\n\r\nHello\r\n")


def relay(server: SmtpServer, tls: Tls, login: bool = True) -> tuple[Relay, ...]:
    """A relay on loopback that asks for TLS all the same, which no URL of ours does."""
    return (Relay("127.0.0.1", server.port, tls, "me" if login else None, "pw" if login else None),)


def pem(ca: trustme.CA, directory: Path) -> Path:
    path = directory / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
async def test_mail_and_login_travel_encrypted(tls: Tls, tmp_path: Path) -> None:
    context, ca = tls_contexts("127.0.0.1")
    async with SmtpServer(tls=context, implicit=tls is Tls.IMPLICIT, users={"me": "pw"}) as server:
        pool = Pool(relay(server, tls), sessions=2, ca=pem(ca, tmp_path), timeouts=QUICK)
        assert all(isinstance(told, Sent) for told in await asyncio.gather(*(pool.send(ENVELOPE) for _ in range(5))))
        assert all((mail.tls, mail.user) == (True, "me") for mail in server.mails)
        assert (
            await pool.probe()
            == f"127.0.0.1:{server.port}: TLSv1.3, logged in, SIZE 10485760, PIPELINING, 8BITMIME, SMTPUTF8"
        )
        await pool.close()
        await server.until(lambda: not server.open)


async def test_s04_a_stripped_starttls_stops_everything() -> None:
    async with SmtpServer(users={"me": "pw"}) as server:
        pool = Pool(relay(server, Tls.STARTTLS), sessions=1, timeouts=QUICK)
        with pytest.raises(RelayFault, match="at STARTTLS: the relay does not offer STARTTLS"):
            await pool.send(ENVELOPE)
        assert [line.split()[0] for line in server.connections[0].lines] == [b"EHLO"]
        await pool.close()


async def test_s04_a_refused_starttls_stops_everything() -> None:
    context, _ = tls_contexts("127.0.0.1")
    async with SmtpServer(tls=context) as server:
        server.script["starttls"] = "454 4.7.0 TLS not available"
        pool = Pool(relay(server, Tls.STARTTLS, login=False), sessions=1, timeouts=QUICK)
        with pytest.raises(RelayFault, match=r"at STARTTLS: 454 4\.7\.0 TLS not available"):
            await pool.send(ENVELOPE)
        assert [line.split()[0] for line in server.connections[0].lines] == [b"EHLO", b"STARTTLS"]
        await pool.close()


@pytest.mark.parametrize(
    "said",
    [
        b"220 go\r\n250-evil\r\n250 AUTH LOGIN\r\n235 welcome\r\n",
        b"220 go\r\n2",
        b"220-go\r\n220 on\r\n\r\n",
        b"454 not now\r\n220 go\r\n",
    ],
)
async def test_s05_what_is_injected_behind_the_answer_closes_the_connection(said: bytes, tmp_path: Path) -> None:
    """Replies in clear behind the 220 would answer our commands inside TLS (CVE-2011-0411 and its kin)."""
    context, ca = tls_contexts("127.0.0.1")
    async with SmtpServer(tls=context, users={"me": "pw"}) as server:
        server.script["starttls"] = [raw(said)]
        pool = Pool(relay(server, Tls.STARTTLS), sessions=1, ca=pem(ca, tmp_path), timeouts=QUICK)
        with pytest.raises(RelayFault, match="at STARTTLS: the relay said more in clear than its answer"):
            await pool.send(ENVELOPE)
        # Not one byte more went there, not even of a handshake.
        await server.until(lambda: not server.open)
        assert [line.split()[0] for line in server.connections[0].lines] == [b"EHLO", b"STARTTLS"]
        assert isinstance(await persist(pool, ENVELOPE), Sent)
        assert server.mails[0].tls
        await pool.close()


async def test_s05_what_comes_a_moment_after_the_answer_is_no_reply_either(tmp_path: Path) -> None:
    """In a segment of its own it meets our own guard or the handshake; either way nothing of ours follows."""
    context, ca = tls_contexts("127.0.0.1")
    async with SmtpServer(tls=context) as server:
        pool = Pool(relay(server, Tls.STARTTLS, login=False), sessions=1, ca=pem(ca, tmp_path), timeouts=QUICK)
        server.script["starttls"] = [raw(b"220 go\r\n", then=b"250-evil\r\n250 AUTH LOGIN\r\n235 welcome\r\n")]
        with pytest.raises(RelayFault, match=r"at (STARTTLS|TLS): "):
            await pool.send(ENVELOPE)
        assert not server.mails
        assert [line.split()[0] for line in server.connections[0].lines] == [b"EHLO", b"STARTTLS"]
        await pool.close()


def _expired(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert(
        "127.0.0.1", not_before=datetime.now(UTC) - timedelta(days=2), not_after=datetime.now(UTC) - timedelta(days=1)
    )


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
@pytest.mark.parametrize(
    ("certificate", "trusted", "told"),
    [
        (lambda ca: ca.issue_cert("127.0.0.1"), False, "certificate refused: "),
        (lambda ca: ca.issue_cert("other.example.org"), True, "certificate refused: IP address mismatch"),
        (_expired, True, "certificate refused: certificate has expired"),
    ],
)
async def test_s06_a_certificate_that_proves_nothing_stops_everything(
    certificate: Callable[[trustme.CA], trustme.LeafCert], trusted: bool, told: str, tls: Tls, tmp_path: Path
) -> None:
    ca = trustme.CA()
    context, _ = tls_contexts("127.0.0.1", ca=ca)
    certificate(ca).configure_cert(context)
    async with SmtpServer(tls=context, implicit=tls is Tls.IMPLICIT, users={"me": "pw"}) as server:
        known = pem(ca if trusted else trustme.CA(), tmp_path)
        pool = Pool(relay(server, tls), sessions=1, ca=known, timeouts=QUICK)
        with pytest.raises(RelayFault, match=f"at TLS: {told}"):
            await pool.send(ENVELOPE)
        lines = [line.split()[0] for connection in server.connections for line in connection.lines]
        assert lines == ([b"EHLO", b"STARTTLS"] if tls is Tls.STARTTLS else [])
        await pool.close()


async def test_implicit_tls_to_a_server_in_clear_is_a_clear_error() -> None:
    async with SmtpServer() as server:
        pool = Pool(relay(server, Tls.IMPLICIT), sessions=1, timeouts=QUICK)
        with pytest.raises(RelayFault, match="at TLS: TLS failed: "):
            await pool.send(ENVELOPE)
        await pool.close()


async def test_loopback_in_clear_may_log_in() -> None:
    """G04: the one place where a login goes in clear without being asked for."""
    async with SmtpServer(users={"me": "pw"}) as server:
        pool = Pool(parse_relays(server.url, "me", "pw"), sessions=1, timeouts=QUICK)
        assert isinstance(await pool.send(ENVELOPE), Sent)
        assert (server.mails[0].tls, server.mails[0].user) == (False, "me")
        await pool.close()


async def test_probe_names_what_failed_and_where() -> None:
    async with SmtpServer(users={"me": "right"}) as server, SmtpServer() as fine:
        relays = (*parse_relays(server.url, "me", "hunter2"), *parse_relays(fine.url))
        pool = Pool(relays, sessions=1, timeouts=QUICK)
        with pytest.raises(RelayFault) as caught:
            await pool.probe()
        lines = str(caught.value).splitlines()
        assert lines[0] == f"127.0.0.1:{server.port}: at login: 535 5.7.8 wrong password"
        assert lines[1].startswith(f"127.0.0.1:{fine.port}: in clear, SIZE")
        assert fine.connections[0].lines[-1] == b"QUIT"
        # A probe is a question: it opens no circuit.
        assert pool.fault is None
        await pool.close()
