"""G01 to G04, G07: every variable, good and bad; all problems at once, each with its name."""

import re
from pathlib import Path

import pytest

from kinto_notify.address import Mailbox
from kinto_notify.delivery import RetryPolicy
from kinto_notify.errors import ConfigError
from kinto_notify.rate import Rate
from kinto_notify.settings import VARIABLES, load_settings

SENDER = {"KINTO_NOTIFY_SENDER": "Kinto <kinto@example.org>"}
HERE = Path(__file__)


def load(**given):
    return load_settings({**SENDER, **{f"KINTO_NOTIFY_{name}": text for name, text in given.items()}})


def problems(**given):
    with pytest.raises(ConfigError) as caught:
        load(**given)
    assert caught.value.exit_code == 78
    return list(caught.value.problems)


def test_the_defaults_are_those_of_the_contract():
    settings = load()
    assert settings.redis_url == "redis://localhost:6379/0"
    assert settings.namespace == "kinto-notify"
    assert settings.stream_keep == 7 * 86_400_000
    assert (settings.smtp_relays[0].host, settings.smtp_relays[0].port) == ("localhost", 25)
    assert settings.smtp_sessions == 10
    assert settings.sender == settings.bounce_address == Mailbox("Kinto", "kinto@example.org")
    assert settings.allowed_recipients == ("*@example.org",)
    assert (settings.digest.wait, settings.digest.interval) == (30_000, 300_000)
    assert settings.retry == RetryPolicy(60_000, 3_600_000, 259_200_000)
    assert settings.drain_timeout == 20_000
    assert settings.web_bind == ("127.0.0.1", 9464)
    assert settings.timezone.key == "UTC"
    assert (settings.log_format, settings.log_level, settings.dry_run) == ("auto", "info", False)
    assert settings.recipients == ()
    assert settings.subscriptions is settings.templates is settings.smtp_ca is None
    assert settings.name
    assert settings.warnings == ()


GOOD = [
    ("REDIS_URL", "rediss://user:pw@redis.example:6380/2", "redis_url", "rediss://user:pw@redis.example:6380/2"),
    ("REDIS_URL", "unix:///run/redis.sock?db=1", "redis_url", "unix:///run/redis.sock?db=1"),
    ("REDIS_URL", "redis+sentinel://a:1,b:2/main/0", "redis_url", "redis+sentinel://a:1,b:2/main/0"),
    ("REDIS_URL", "redis+cluster://a:7000", "redis_url", "redis+cluster://a:7000"),
    ("NAMESPACE", "blog.prod", "namespace", "blog.prod"),
    ("STREAM_KEEP", "36h", "stream_keep", 129_600_000),
    ("LIST", "kinto.core.events", "list", "kinto.core.events"),
    ("NAME", "mail-1.example", "name", "mail-1.example"),
    ("SMTP_SESSIONS", "25", "smtp_sessions", 25),
    ("SMTP_CA", str(HERE), "smtp_ca", HERE),
    ("SMTP_RATE", "50/s", "smtp_rate", Rate(50, 1000)),
    ("RECIPIENT_RATE", "60/h", "recipient_rate", Rate(60, 3_600_000)),
    ("BUCKET_RATE", "9/10m", "bucket_rate", Rate(9, 600_000)),
    ("SENDER", "a@example.com", "allowed_recipients", ("*@example.com",)),
    ("BOUNCE_ADDRESS", "b@example.org", "bounce_address", Mailbox("", "b@example.org")),
    ("ALLOWED_SENDERS", "*@example.org, News-?@x.org", "allowed_senders", ("*@example.org", "news-?@x.org")),
    ("OPERATOR", "Op <op@example.org>", "operator", Mailbox("Op", "op@example.org")),
    (
        "RECIPIENTS",
        'a@x.org, "Doe, Jane" <j@x.org>,A@x.org,',
        "recipients",
        (Mailbox("", "a@x.org"), Mailbox("Doe, Jane", "j@x.org")),
    ),
    ("SUBSCRIPTIONS", str(HERE), "subscriptions", HERE),
    ("TEMPLATES", str(HERE.parent), "templates", HERE.parent),
    ("ALLOWED_RECIPIENTS", "*", "allowed_recipients", ("*",)),
    ("DIGEST_WAIT", "0s", "digest_wait", 0),
    ("DIGEST_INTERVAL", "250ms", "digest_interval", 250),
    ("RETRY_MIN", "5s", "retry_min", 5_000),
    ("RETRY_MAX", "2h", "retry_max", 7_200_000),
    ("GIVE_UP_AFTER", "1h", "give_up_after", 3_600_000),
    ("DRAIN_TIMEOUT", "0s", "drain_timeout", 0),
    ("WEB_BIND", "OFF", "web_bind", None),
    ("WEB_BIND", "[::1]:80", "web_bind", ("::1", 80)),
    ("ADMIN_URL", "https://k.example/v1/admin/#/", "admin_url", "https://k.example/v1/admin"),
    ("ADMIN_TOKEN", "0123456789abcdef", "admin_token", "0123456789abcdef"),
    ("SECRET", "0123456789abcdef,fedcba9876543210", "secret", ("0123456789abcdef", "fedcba9876543210")),
    ("LOG_FORMAT", "JSON", "log_format", "json"),
    ("LOG_LEVEL", "Debug", "log_level", "debug"),
    ("DRY_RUN", "yes", "dry_run", True),
    ("DRY_RUN", "0", "dry_run", False),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), GOOD)
def test_good(name, text, field, value):
    assert getattr(load(**{name: text}), field) == value


def test_smtp_relay_and_its_login():
    (relay,) = load(SMTP_URL="smtps://mail.example", SMTP_USERNAME="kinto", SMTP_PASSWORD="pass word ").smtp_relays
    assert (relay.host, relay.port, relay.username, relay.password) == ("mail.example", 465, "kinto", "pass word ")


def test_timezone():
    assert load(TIMEZONE="Europe/Paris").timezone.key == "Europe/Paris"


BAD = [
    ("REDIS_URL", "http://localhost", "must begin with one of redis://"),
    ("REDIS_URL", "localhost:6379", "must begin with one of redis://"),
    ("REDIS_URL", "redis://localhost:0/0", "port from 1 to 65535"),
    ("REDIS_URL", "redis://localhost:99999/0", "port from 1 to 65535"),
    ("REDIS_URL", "redis:///0", "host"),
    ("REDIS_URL", "unix://", "names no server"),
    ("NAMESPACE", "a}b", "namespace"),
    ("STREAM_KEEP", "0s", "too short"),
    ("STREAM_KEEP", "7", "no unit"),
    ("NAME", "a b", "not a name"),
    ("SMTP_URL", "mail.example", "must begin with smtp://"),
    ("SMTP_URL", "smtp://mail.example:0", "port"),
    ("SMTP_USERNAME", "kinto", "user and a password"),
    ("SMTP_CA", "/nowhere/ca.pem", "there is no file /nowhere/ca.pem"),
    ("SMTP_CA", "/", "is not a file"),
    ("SMTP_SESSIONS", "0", "from 1 to 1000"),
    ("SMTP_SESSIONS", "-1", "from 1 to 1000"),
    ("SMTP_SESSIONS", "abc", "from 1 to 1000"),
    ("SMTP_SESSIONS", "9" * 5000, "from 1 to 1000"),
    ("SMTP_RATE", "50", "50/s"),
    ("RECIPIENT_RATE", "0/s", "rate"),
    ("BUCKET_RATE", "x/s", "rate"),
    ("SENDER", "kinto", "@-sign"),
    ("BOUNCE_ADDRESS", "a@b@c", "a@b@c"),
    ("ALLOWED_SENDERS", "example.org", "*@example.org"),
    ("OPERATOR", "op", "@-sign"),
    ("RECIPIENTS", "a@x.org, b c", "'b c'"),
    ("SUBSCRIPTIONS", "/nowhere/s.toml", "there is no file"),
    ("TEMPLATES", "/nowhere", "there is no directory"),
    ("TEMPLATES", str(HERE), "is not a directory"),
    ("ALLOWED_RECIPIENTS", "*@bücher.example", "xn--"),
    ("DIGEST_WAIT", "-5s", "not a duration"),
    ("DIGEST_INTERVAL", "5 minutes", "not a duration"),
    ("RETRY_MIN", "0s", "too short"),
    ("RETRY_MAX", "30s", "shorter than KINTO_NOTIFY_RETRY_MIN, 1m"),
    ("GIVE_UP_AFTER", "10s", "shorter than KINTO_NOTIFY_RETRY_MIN, 1m"),
    ("DRAIN_TIMEOUT", "soon", "not a duration"),
    ("WEB_BIND", "9464", "127.0.0.1:9464"),
    ("WEB_BIND", "::1:80", "127.0.0.1:9464"),
    ("WEB_BIND", "localhost:0", "1 to 65535"),
    ("PUBLIC_URL", "notify.example.org", "URL"),
    ("PUBLIC_URL", "ftp://notify.example.org", "https://"),
    ("PUBLIC_URL", "https://notify.example.org/a>b", "ASCII"),
    ("ADMIN_URL", "https://u:p@k.example", "plain URL"),
    ("TIMEZONE", "Europe/Pari", "did you mean Europe/Paris"),
    ("LOG_FORMAT", "xml", "auto, console, json"),
    ("LOG_LEVEL", "loud", "debug, info"),
    ("DRY_RUN", "maybe", "neither true nor false"),
]


@pytest.mark.parametrize(("name", "text", "told"), BAD)
def test_bad(name, text, told):
    (line,) = problems(**{name: text})
    # One half of a login: what is wrong is the other one.
    named = "SMTP_PASSWORD" if name == "SMTP_USERNAME" else name
    assert line.startswith(f"KINTO_NOTIFY_{named}: ")
    assert told in line
    assert "\n" not in line


def test_every_variable_is_in_the_tables():
    tried = {name for name, *_ in GOOD} & {name for name, *_ in BAD}
    # Tested by themselves: those with no wrong text of their own, or no right one that stands alone.
    assert VARIABLES - tried == {"LIST", "SMTP_URL", "SMTP_USERNAME", "SMTP_PASSWORD", "SECRET", "ADMIN_TOKEN"} | {
        "PUBLIC_URL",
        "TIMEZONE",
    }


def test_g01_the_sender_is_required_and_named():
    with pytest.raises(ConfigError) as caught:
        load_settings({})
    assert caught.value.problems == (
        "KINTO_NOTIFY_SENDER: is required, the address that mails come from: Kinto <kinto@example.org>",
    )


def test_g01_an_unknown_name_is_an_error_with_a_suggestion():
    assert problems(SMPT_URL="x") == [
        "KINTO_NOTIFY_SMPT_URL: there is no such setting; did you mean KINTO_NOTIFY_SMTP_URL?"
    ]
    (line,) = problems(COLOUR_OF_THE_SKY="blue")
    assert line == "KINTO_NOTIFY_COLOUR_OF_THE_SKY: there is no such setting"


def test_g01_an_empty_variable_is_as_good_as_none():
    assert load(SMTP_SESSIONS="", REDIS_URL=" ", RECIPIENTS="") == load()


def test_names_of_the_test_tools_and_of_others_are_left_alone():
    others = {"KINTO_NOTIFY_FAULT": "x:kill", "KINTO_NOTIFY_REDIS_SERVER": "/x", "KINTO_INI": "x", "PATH": "/bin"}
    assert load_settings({**SENDER, **others}) == load()


def test_g02_all_problems_at_once_one_line_each():
    found = problems(
        SENDER="nobody", SMTP_SESSIONS="0", DIGEST_WAIT="30", TIMEZONE="Mars/Base", WEB_BIND="x", UNKNOWN_ONE="1"
    )
    named = [re.match(r"KINTO_NOTIFY_([A-Z_]+): \S", line)[1] for line in found]
    assert sorted(named) == ["DIGEST_WAIT", "SENDER", "SMTP_SESSIONS", "TIMEZONE", "UNKNOWN_ONE", "WEB_BIND"]


def test_g04_a_login_in_clear_over_a_network_needs_the_word_insecure():
    (relay,) = load(SMTP_URL="smtp://mail.example", SMTP_USERNAME="u", SMTP_PASSWORD="p").smtp_relays
    assert relay.tls.value == "starttls"
    (clear,) = load(SMTP_URL="smtp+insecure://mail.example", SMTP_USERNAME="u", SMTP_PASSWORD="p").smtp_relays
    assert clear.tls.value == "clear"


def test_links_need_a_secret_to_sign_them():
    (line,) = problems(LIST="kinto.core.events", REDIS_URL="redis+cluster://a:7000")
    assert line.startswith("KINTO_NOTIFY_LIST: needs one Redis")
    (line,) = problems(PUBLIC_URL="https://notify.example.org")
    assert line.startswith("KINTO_NOTIFY_SECRET: is required with KINTO_NOTIFY_PUBLIC_URL")
    assert load(PUBLIC_URL="https://notify.example.org/", SECRET="0123456789abcdef").public_url == (
        "https://notify.example.org"
    )
