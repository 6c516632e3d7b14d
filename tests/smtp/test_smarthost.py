"""`SMTP_URL`: what each form means, and that no fault shows a password (G04)."""

import pytest

from kinto_notify.smarthost import Relay, Tls, is_loopback, parse_relays


@pytest.mark.parametrize(
    ("text", "relay"),
    [
        ("smtp://localhost", Relay("localhost", 25, Tls.CLEAR)),
        ("smtp://localhost:25", Relay("localhost", 25, Tls.CLEAR)),
        ("smtp://127.0.0.2:2525/", Relay("127.0.0.2", 2525, Tls.CLEAR)),
        ("smtp://[::1]", Relay("::1", 25, Tls.CLEAR)),
        ("smtp://mail.example.org", Relay("mail.example.org", 25, Tls.STARTTLS)),
        ("smtp://localhost.example.org:587", Relay("localhost.example.org", 587, Tls.STARTTLS)),
        ("SMTPS://mail.example.org", Relay("mail.example.org", 465, Tls.IMPLICIT)),
        ("smtps://[2001:db8::25]:10465", Relay("2001:db8::25", 10465, Tls.IMPLICIT)),
        ("smtp+insecure://mail", Relay("mail", 25, Tls.CLEAR)),
        ("smtp://bücher.example", Relay("xn--bcher-kva.example", 25, Tls.STARTTLS)),
        ("smtps://me:p%40ss%2C%3A@mail.example.org", Relay("mail.example.org", 465, Tls.IMPLICIT, "me", "p@ss,:")),
        ("smtps://a%40b:c:d@mail.example.org", Relay("mail.example.org", 465, Tls.IMPLICIT, "a@b", "c:d")),
    ],
)
def test_one_relay(text: str, relay: Relay) -> None:
    assert parse_relays(text) == (relay,)


def test_a_list_fails_over_in_order_and_takes_the_login_it_does_not_have() -> None:
    relays = parse_relays(
        "smtps://one.example.org, smtp://u:own@two.example.org,smtps://x@three.example.org", "me", "pw"
    )
    assert [(str(relay), relay.username, relay.password) for relay in relays] == [
        ("one.example.org:465", "me", "pw"),
        ("two.example.org:25", "u", "own"),
        ("three.example.org:465", "x", "pw"),
    ]


@pytest.mark.parametrize("text", ["smtp://mail.example.org", "smtps://mail.example.org"])
def test_g04_a_login_crosses_no_network_in_clear_unless_told_so(text: str) -> None:
    assert parse_relays(text, "me", "pw")[0].tls is not Tls.CLEAR


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must begin with"),
        ("mail.example.org:25", "must begin with"),
        ("http://hunter2@mail.example.org", "must begin with"),
        ("smtp://", "host is missing"),
        ("smtp://user:hunter2@", "host is missing"),
        ("smtp://user:hunter2@mail:0", "port"),
        ("smtp://user:hunter2@mail:65536", "port"),
        ("smtp://user:hunter2@mail:", "port"),
        ("smtp://user:hunter2@mail:²", "port"),
        ("smtp://::1", "host is missing"),
        ("smtp://2001:db8::1", "port"),
        ("smtp://[2001:db8::1", "IPv6"),
        ("smtp://[::1]25", "IPv6"),
        ("smtp://[127.0.0.1]", "IPv6"),
        ("smtp://user:hunt/er2@mail", "path"),
        ("smtp://user:hunt#er2@mail", "path"),
        ("smtp://user:hunter2@mail/?x=1", "path"),
        ("smtp://user@mail", "password"),
        ("smtp://:hunter2@mail", "user is empty"),
        ("smtp://user:hunter2%0A@mail", "control character"),
        ("smtp://user:hunter2%FF@mail", "not UTF-8"),
        ("smtp://user:hunter2@ma il", "host name"),
        ("smtp://user:hunter2@mail\r\nX", "host name"),
    ],
)
def test_a_fault_says_what_is_wrong_and_never_the_password(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse_relays(text)
    assert "hunt" not in str(caught.value)
    assert "er2" not in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"relay 1: .*; relay 3: ") as caught:
        parse_relays("smtp://u:hunter,smtp://fine.example.org,2@mail", "me", "pw")
    assert "hunter" not in str(caught.value)
    assert "2@" not in str(caught.value)


def test_half_a_login_is_a_fault() -> None:
    with pytest.raises(ValueError, match="one of them is missing"):
        parse_relays("smtp://mail", None, "pw")


def test_repr_hides_the_password() -> None:
    relay = parse_relays("smtps://me:hunter2@mail")[0]
    assert "hunter2" not in repr(relay) + str(relay)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.9.9.9", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.org", "10.0.0.1", "127.0.0.1.example.org", "mail"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
