"""A wrong setting stops Kinto at start and names itself; a right one may come from the environment."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import webtest
from pyramid.exceptions import ConfigurationError

from kinto_notify.credentials import SECRETS
from kinto_notify.demo.servers import KintoServer, RedisServer
from kinto_notify.errors import ConfigError
from kinto_notify.outbox.settings import OutboxSettings, read_settings
from kinto_notify.settings import VARIABLES
from support.stream import StreamReader

MakeApp = Callable[..., webtest.TestApp]
URL = "redis://localhost:6379/0"


def read(**settings: str) -> OutboxSettings:
    return read_settings({"settings_prefix": "kinto", **{f"n.{k}": v for k, v in settings.items()}}, "n.")


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert read(url=URL) == OutboxSettings(url=URL, spool=tmp_path / "kinto-notify" / "spool")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/x")
    assert read(url=URL).spool == Path("/home/x/.local/state/kinto-notify/spool")


def test_every_setting(tmp_path: Path) -> None:
    assert read(
        url="rediss://u:p@h:1/2", namespace="blog", outbox="spool", spool=str(tmp_path), relay="external",
        durability="full", retention="1h30m", hooks="false", strict="no", events="a.b.C\nd.E",
        exclude_resources="group history", redact="/a/0 /b~1c/~0d",
        use="kinto_notify.listener", actions="create", resources="record", pool_size="2", listname="q",
    ) == OutboxSettings(
        url="rediss://u:p@h:1/2", namespace="blog", outbox="spool", spool=tmp_path, external_relay=True, durable=True,
        retention=5400, events=("a.b.C", "d.E"), exclude=frozenset({"account", "group", "history"}),
        redact=(("a", "0"), ("b/c", "~d")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "backend", "found"),
    [
        ("postgresql://u:s3cret@h/db", "kinto.core.storage.postgresql", True),
        ("postgres://h/db", "own.storage", True),
        ("postgresql://h/left-over", "kinto.core.storage.memory", False),
        ("redis://h", "cliquet.storage.redis", False),
        ("", "kinto.core.storage.postgresql", False),
    ],
)
def test_the_database_is_that_of_kintos_storage(
    url: str, backend: str, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"settings_prefix": "kinto", "n.url": URL, "storage_url": url, "storage_backend": backend}
    told = read_settings(settings, "n.")
    assert told.database == (url if found else "")
    assert "s3cret" not in repr(told)
    monkeypatch.setenv("KINTO_STORAGE_URL", "postgresql://elsewhere")
    assert read_settings(settings, "n.").database == (
        "" if backend.endswith(("memory", "redis")) else "postgresql://elsewhere"
    )


def test_a_spool_of_ones_own_is_for_the_spool(tmp_path: Path) -> None:
    assert read(url=URL, relay="external", outbox="postgresql", strict="yes").strict
    with pytest.raises(ConfigError, match=r"n\.strict: is for the outbox in PostgreSQL only"):
        read(url=URL, outbox="spool", strict="yes")


@pytest.mark.parametrize("pointer", ["/id", "/last_modified"])
def test_what_names_an_object_or_its_write_cannot_be_redacted(pointer: str) -> None:
    with pytest.raises(ConfigError, match=f"n.redact: {pointer} cannot be hidden"):
        read(url=URL, redact=f"/name {pointer}")


def test_k21_all_problems_at_once_each_with_its_name() -> None:
    with pytest.raises(ConfigError) as caught:
        read(
            url="http://user:s3cret@h", namespace="a b", outbox="disk", spool="relative", relay="none",
            durability="much", retention="soon", hooks="ture", strict="maybe", events="nodots", redact="password",
            namspace="x",
        )  # fmt: skip
    told = "\n".join(caught.value.problems)
    keys = ["url", "namespace", "outbox", "spool", "relay", "durability", "retention"]
    keys += ["hooks", "strict", "events", "redact", "namspace"]
    assert [key for key in keys if f"n.{key}:" not in told] == []
    assert "did you mean n.namespace?" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"url": ""}, "event_listeners.notify.url: is missing"),
        ({"url": "localhost:6379"}, "event_listeners.notify.url: must start with"),
        ({"url": "redis://localhost:port/0"}, "event_listeners.notify.url: is not a Redis URL"),
        ({"url": "redis://localhost/zero"}, "event_listeners.notify.url: is not a Redis URL"),
        ({"url": "redis://localhost/0?retries=1"}, "event_listeners.notify.url: is not a Redis URL"),
        ({"url": "redis+sentinel://localhost:26379"}, "event_listeners.notify.url: is not a Redis URL"),
        ({"url": "redis+sentinel://localhost:x/s/0"}, "event_listeners.notify.url: is not a Redis URL"),
        ({"url": "redis+cluster://localhost:x"}, "event_listeners.notify.url: is not a Redis URL"),
        ({"hooks": "ture"}, "event_listeners.notify.hooks: 'ture' is neither true nor false"),
        ({"events": "kinto_notify.nothing.Here"}, "event_listeners.notify.events: there is no"),
        ({"spool": "", "relay": "external"}, "event_listeners.notify.spool: must be set"),
    ],
)
def test_k21_kinto_does_not_start(make_app: MakeApp, wrong: dict[str, str], named: str) -> None:
    """Kinto swallows an ImportError or AttributeError of a listener, and tries again under another name."""
    with pytest.raises(ConfigurationError) as caught:
        make_app(**{"url": URL, **wrong})
    assert named in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:hush/s3cret@h:6379/0", "redis+sentinel://:hush@s3cret:x/s"])
def test_a_password_in_the_wrong_place_of_a_url_is_not_shown(url: str) -> None:
    """redis-py's own words would be: port could not be cast to integer value as 'hush'."""
    with pytest.raises(ConfigError) as caught:
        read(url=url)
    assert "n.url: is not a Redis URL" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_k21_two_listeners_do_not_share_an_outbox_for_two_redises(make_app: MakeApp, tmp_path: Path) -> None:
    """Each would publish what a dead process of the other left, in the wrong Redis."""
    spool = str(tmp_path / "spool")
    prefix = "event_listeners.second"
    second = {
        f"{prefix}.use": "kinto_notify.listener",
        f"{prefix}.url": URL.replace("/0", "/1"),
        f"{prefix}.spool": spool,
    }
    both = {"event_listeners": "notify second", **second}
    with pytest.raises(ConfigurationError, match=r"event_listeners\.second\.namespace: another listener"):
        make_app(settings=both, url=URL, spool=spool)
    make_app(settings={**both, f"{prefix}.namespace": "other"}, url=URL, spool=spool)
    make_app(settings={**both, f"{prefix}.url": URL}, url=URL, spool=spool)
    database = {"database": "postgresql://x"}
    one, other = read(url=URL, spool="/a"), read(url=f"{URL}1", spool="/b")
    assert not one.mixes_with(other)
    assert replace(one, **database).mixes_with(replace(other, **database))
    assert not replace(one, **database).mixes_with(replace(other, outbox="spool", **database))


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://u:p%2Fw@h:1/2", "rediss://h?ssl_cert_reqs=none", "unix:///run/redis.sock?db=3",
        "redis+sentinel://u:p@a:1,b,[::1]:26379/blog/2", "redis+sentinel://[::1]/blog", "redis+cluster://h:1",
        "redis+cluster://u:p@h:1,[::1]/0",
    ],
)  # fmt: skip
def test_every_form_of_url_is_taken(url: str) -> None:
    assert read(url=url).url == url


@pytest.mark.parametrize("spool", ["", "~nobody-of-this-name/spool"])
def test_a_user_without_a_home_is_told_which_setting_to_set(spool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run under numbers that no user has."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)
    with pytest.raises(ConfigError) as caught:
        read(url=URL, spool=spool)
    assert "n.spool: " in str(caught.value)
    assert "no home directory" in str(caught.value)


def test_k21_in_a_real_kinto_process(tmp_path: Path) -> None:
    kinto = KintoServer(tmp_path, "http://wrong")
    ended = subprocess.run(
        list(kinto.command()), capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **kinto.environment()},
    )  # fmt: skip
    assert ended.returncode != 0
    assert "event_listeners.notify.url: must start with" in ended.stderr


def test_the_environment_wins_also_where_the_ini_says_nothing(
    make_app: MakeApp, redis_server: RedisServer, stream: StreamReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINTO_EVENT_LISTENERS_NOTIFY_URL", redis_server.url)
    monkeypatch.setenv("KINTO_EVENT_LISTENERS_NOTIFY_NAMESPACE", "elsewhere")
    app = make_app(url="redis://127.0.0.1:1/0")
    app.put_json("/v1/buckets/b")
    reader = StreamReader(redis_server.url, "elsewhere")
    assert reader.wait(1)[0]["data"]["uri"] == "/buckets/b"
    reader.close()


def test_cliquets_own_name_and_the_projects_work_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"project_name": "fungi"}
    monkeypatch.setenv("CLIQUET_EVENT_LISTENERS_NOTIFY_URL", "redis://cliquet")
    assert read_settings(settings, "event_listeners.notify.").url == "redis://cliquet"
    monkeypatch.setenv("FUNGI_EVENT_LISTENERS_NOTIFY_URL", "redis://fungi")
    assert read_settings(settings, "event_listeners.notify.").url == "redis://fungi"


def test_k21_a_misspelt_variable_stops_kinto(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it ignored, what it was to hide would be published."""
    monkeypatch.setenv("KINTO_EVENT_LISTENERS_NOTIFY_REDACTT", "/password")
    with pytest.raises(ConfigurationError) as caught:
        make_app(url=URL)
    told = "KINTO_EVENT_LISTENERS_NOTIFY_REDACTT: there is no such setting"
    assert f"{told}; did you mean KINTO_EVENT_LISTENERS_NOTIFY_REDACT?" in str(caught.value)
    assert "/password" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_RETENTIO", True),
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_COLOUR", True),
        ("CLIQUET_EVENT_LISTENERS_MY_NOTIFY_REDAC", True),
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_EXCLUDE_RESOURCES", False),
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_ACTIONS", False),
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_POOL_SIZE", False),
        # Of other listeners, whose names begin like ours: in the list, in the ini only, or quite another.
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_TWO_HOST", False),
        ("KINTO_EVENT_LISTENERS_MY_NOTIFY_OFF_HOST", False),
        ("KINTO_EVENT_LISTENERS_MY_HOST", False),
        ("KINTO_EVENT_LISTENERS_MY_NOTFY_REDACT", True),
        ("KINTO_EVENT_LISTENERS_MYNOTIFY_EXCLUDE_RESOURCES", True),
        ("KINTO_EVENT_LISTENERS_REDIS_URL", False),
        ("KINTO_EVENT_LISTENERS_MY_NOTFY_COLOUR", False),
        ("KINTO_EVENT_LISTENERS", False),
        ("KINTO_STORAGE_REDACTT", False),
    ],
)
def test_which_variables_are_misspelt(monkeypatch: pytest.MonkeyPatch, name: str, refused: bool) -> None:
    prefix = "event_listeners.my-notify."
    settings = {"settings_prefix": "kinto", "event_listeners": ["my-notify", "other.my_notify_two"]}
    settings |= {f"{prefix}url": URL, "event_listeners.my_notify_off.use": "other"}
    monkeypatch.setenv(name, "record" if name.endswith("RESOURCES") else "create my-notify other.my_notify_two")
    if refused:
        with pytest.raises(ConfigError, match=f"^{name}: there is no such (setting|listener)"):
            read_settings(settings, prefix)
    else:
        assert read_settings(settings, prefix).url == URL


def test_variables_under_the_daemons_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """`kinto.includes = kinto_notify` reads KINTO_NOTIFY_..., where the daemon's own may stand, or a newer daemon's."""
    settings = {"settings_prefix": "kinto", "notify.url": URL}
    for name in {*VARIABLES, *(f"{secret}_FILE" for secret in SECRETS), "REDIS_SERVER", "FAULT"}:
        monkeypatch.setenv(f"KINTO_NOTIFY_{name}", "blog")
    assert read_settings(settings, "notify.").namespace == "blog"
    monkeypatch.setenv("KINTO_NOTIFY_REDACTED", "/password")
    with pytest.raises(ConfigError) as caught:
        read_settings(settings, "notify.")
    (told,) = caught.value.problems
    assert told == "KINTO_NOTIFY_REDACTED: there is no such setting; did you mean KINTO_NOTIFY_REDACT?"


def test_kintos_process_loads_nothing_of_the_daemon() -> None:
    script = (
        "import sys, kinto_notify.listener, kinto_notify.smtp_listener;"
        "print([m for m in sys.modules if m.partition('.')[0] in"
        " {'pydantic', 'aiosmtplib', 'jinja2', 'structlog', 'aiohttp', 'asyncio', 'kinto', 'cliquet'}"
        " and m != 'asyncio'])"
    )
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert [m for m in eval(told.stdout) if not m.startswith("asyncio")] == []
