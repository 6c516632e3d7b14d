"""The tutorial's listener: one mail per committed event, and no write that pays for a broken mail relay."""

import email
import email.policy
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pyramid.exceptions import ConfigurationError

from kinto_notify.demo.servers import free_port
from kinto_notify.outbox.storage import StorageView
from kinto_notify.smtp_listener import Server, SmtpListener, parse_server
from support.cliquet_app import cliquet_app
from support.kinto_app import RECORDS, kinto_app


class Inbox:
    """An SMTP server that keeps what it is given."""

    def __init__(self, auth: tuple[str, str] | None = None) -> None:
        self.envelopes: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refuse = ""
        self.auth = auth
        options: dict[str, Any] = {}
        if auth:
            options = {"authenticator": self._login, "auth_required": True, "auth_require_tls": False}
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port(), **options)

    def _login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        right = self.auth == (data.login.decode(), data.password.decode())
        return AuthResult(success=right, handled=right)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address == self.refuse:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        return "250 OK"

    @property
    def messages(self) -> list[EmailMessage]:
        return [email.message_from_bytes(e.content, policy=email.policy.default) for e in self.envelopes]  # type: ignore[misc]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    box = Inbox()
    box.controller.start()
    yield box
    box.controller.stop()


def mailing(server: str, **more: str) -> dict[str, str]:
    own = {"use": "kinto_notify.smtp_listener", "server": server, "from": "postmaster@localhost",
           "recipients": "kinto@yopmail.com\nops@example.org", **more}  # fmt: skip
    return {"event_listeners": "send_email", **{f"event_listeners.send_email.{key}": own[key] for key in own}}


def test_a_new_bucket_is_mailed_as_the_tutorial_says(inbox: Inbox) -> None:
    app = kinto_app(mailing(f"127.0.0.1:{inbox.controller.port}"))
    answer = app.put_json("/v1/buckets/b").json
    (message,) = inbox.messages
    assert message["Subject"] == "bucket created"
    assert message["From"] == "postmaster@localhost"
    assert message["To"] == "kinto@yopmail.com, ops@example.org"
    assert inbox.envelopes[0].rcpt_tos == ["kinto@yopmail.com", "ops@example.org"]
    text = message.get_content()
    assert f"User id: {answer['permissions']['write'][0]}" in text
    assert "/buckets/b" in text.splitlines()


def test_a_batch_is_one_mail_per_event(inbox: Inbox) -> None:
    app = kinto_app(mailing(f"127.0.0.1:{inbox.controller.port}"))
    app.put_json("/v1/buckets/b")
    app.put_json("/v1/buckets/b/collections/c")
    requests = [{"method": "PUT", "path": f"{RECORDS}/r{n}"} for n in range(3)]
    app.post_json("/v1/batch", {"requests": requests})
    assert [m["Subject"] for m in inbox.messages] == ["bucket created", "collection created", "record created"]
    assert inbox.messages[2].get_content().count("/records/r") == 3


def test_k02_what_is_rolled_back_is_not_mailed(inbox: Inbox) -> None:
    from kinto.core.events import ResourceChanged

    def veto(event: Any) -> None:
        if event.payload["bucket_id"] == "bad":
            raise ValueError("no")

    app = kinto_app(
        mailing(f"127.0.0.1:{inbox.controller.port}"), lambda config: config.add_subscriber(veto, ResourceChanged)
    )
    app.put_json("/v1/buckets/bad", status=500)
    app.put_json("/v1/buckets/good")
    assert ["/buckets/good" in m.get_content() for m in inbox.messages] == [True]


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd, of a server for tests
def test_it_logs_in_with_a_password_that_holds_an_at_sign() -> None:
    box = Inbox(auth=("user", "p@ss"))
    box.controller.start()
    try:
        app = kinto_app(mailing(f"user:p@ss@127.0.0.1:{box.controller.port}"))
        app.put_json("/v1/buckets/b")
        assert len(box.messages) == 1
        assert box.logins == [(b"user", b"p@ss")]
    finally:
        box.controller.stop()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd, of a server for tests
def test_a_wrong_password_fails_no_write_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    box = Inbox(auth=("user", "right"))
    box.controller.start()
    try:
        app = kinto_app(mailing(f"user:s3cret@127.0.0.1:{box.controller.port}"))
        app.put_json("/v1/buckets/b", status=201)
    finally:
        box.controller.stop()
    assert box.messages == []
    (line,) = [r.getMessage() for r in caplog.records if r.name.startswith("kinto_notify")]
    assert "could not mail" in line
    assert "535" in line
    assert "s3cret" not in caplog.text


def test_a_relay_that_is_not_there_fails_no_write(caplog: pytest.LogCaptureFixture) -> None:
    app = kinto_app(mailing(f"127.0.0.1:{free_port()}"))
    assert app.put_json("/v1/buckets/b", status=201).json["data"]["id"] == "b"
    assert "could not mail 1 notice(s)" in caplog.text


def test_a_refused_recipient_does_not_keep_the_mail_from_the_other(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.refuse = "ops@example.org"
    app = kinto_app(mailing(f"127.0.0.1:{inbox.controller.port}"))
    app.put_json("/v1/buckets/b", status=201)
    assert [e.rcpt_tos for e in inbox.envelopes] == [["kinto@yopmail.com"]]
    assert "refused ops@example.org" in caplog.text


def test_without_starttls_nothing_goes_to_another_machine(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    """A relay that is not on this machine must offer STARTTLS: a stripped offer sends nothing in clear."""
    # This address reaches this machine without being one of its loopback names.
    server = Server("0.0.0.0", inbox.controller.port, "user", "password")
    listener = SmtpListener(server, "a@b", ["c@d"], StorageView(None))
    with pytest.raises(smtplib.SMTPNotSupportedError, match="STARTTLS"):
        listener._send([EmailMessage()])
    assert inbox.envelopes == []


def test_accounts_are_never_mailed(inbox: Inbox) -> None:
    app = kinto_app(
        {
            **mailing(f"127.0.0.1:{inbox.controller.port}"),
            "includes": "kinto.plugins.accounts",
            "multiauth.policies": "account",
            "multiauth.policy.account.use": "kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy",
            "account_create_principals": "system.Everyone",
        }
    )
    app.authorization = None
    app.put_json("/v1/accounts/ann", {"data": {"password": "s3cret"}}, status=201)
    app.authorization = ("Basic", ("ann", "s3cret"))
    app.put_json("/v1/buckets/b")
    assert [m["Subject"] for m in inbox.messages] == ["bucket created"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Cliquet is of 2016
def test_in_cliquet_with_the_tutorials_own_settings(inbox: Inbox) -> None:
    app = cliquet_app(mailing(f"127.0.0.1:{inbox.controller.port}"))
    app.post_json("/v0/mushrooms", {"data": {"name": "morel"}}, status=201)
    assert [m["Subject"] for m in inbox.messages] == ["mushroom created"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail.example.org", ("mail.example.org", 25, "", "", False)),
        ("user:password@mail.server.com", ("mail.server.com", 25, "user", "password", False)),
        ("user:p@ss@host:587", ("host", 587, "user", "p@ss", False)),
        ("smtp://user:p%40ss@host:587/", ("host", 587, "user", "p@ss", False)),
        ("smtps://u:p@[::1]", ("::1", 465, "u", "p", True)),
        ("ftp://host", None),
        ("host:notaport", None),
        ("host:99999", None),
        ("ho\nst", None),
        ("", None),
    ],
)
def test_the_forms_of_server(text: str, expected: tuple[str, int, str, str, bool] | None) -> None:
    server = parse_server(text)
    found = server and (server.host, server.port, server.user, server.password, server.implicit_tls)
    assert found == expected
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"server": ""}, "event_listeners.send_email.server"),
        ({"server": "x y:s3cret@"}, "event_listeners.send_email.server"),
        ({"from": "nobody"}, "event_listeners.send_email.from"),
        ({"recipients": "a@b.org\r\nBcc:x"}, "event_listeners.send_email.recipients"),
        ({"recipients": ""}, "event_listeners.send_email.recipients"),
    ],
)
def test_k21_a_wrong_setting_stops_kinto_and_names_itself(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kinto_app(mailing("mail.example.org") | {f"event_listeners.send_email.{k}": v for k, v in wrong.items()})
    assert named in str(caught.value)
    assert "s3cret" not in str(caught.value)
