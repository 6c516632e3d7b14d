"""G03: secrets from the environment, from files, from systemd's credentials; and never in any output."""

import pytest

from kinto_notify.credentials import SECRETS
from kinto_notify.errors import ConfigError
from kinto_notify.settings import load_settings

BASE = {"KINTO_NOTIFY_SENDER": "kinto@example.org", "KINTO_NOTIFY_SMTP_USERNAME": "kinto"}
FIELD = {"SMTP_URL": "smtp_relays", "SMTP_PASSWORD": "smtp_relays"}
#: A right value for each secret, with a part that must never be seen.
RIGHT = {
    "SMTP_PASSWORD": "hunter2-not-to-be-seen",
    "SMTP_URL": "smtps://kinto:hunter2-not-to-be-seen@mail.example",
    "REDIS_URL": "redis://:hunter2-not-to-be-seen@localhost:6379/0",
    "SECRET": "hunter2-not-to-be-seen",
    "ADMIN_TOKEN": "hunter2-not-to-be-seen",
}


def environment(name, **more):
    base = dict(BASE)
    if name != "SMTP_PASSWORD":
        del base["KINTO_NOTIFY_SMTP_USERNAME"]
    return {**base, **more}


def value(name, settings):
    return getattr(settings, FIELD.get(name, name.lower()))


def expected(name):
    return value(name, load_settings(environment(name, **{f"KINTO_NOTIFY_{name}": RIGHT[name]})))


def private(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_g03_from_a_file_without_its_last_newline(name, ending, tmp_path):
    path = private(tmp_path / "secret", RIGHT[name] + ending)
    settings = load_settings(environment(name, **{f"KINTO_NOTIFY_{name}_FILE": path}))
    assert value(name, settings) == expected(name)
    assert not any("everybody" in line for line in settings.warnings)


@pytest.mark.parametrize("name", SECRETS)
def test_from_systemds_credentials(name, tmp_path):
    private(tmp_path / name.lower().replace("_", "-"), RIGHT[name] + "\n", 0o400)
    settings = load_settings(environment(name, CREDENTIALS_DIRECTORY=str(tmp_path)))
    assert value(name, settings) == expected(name)


def test_the_environment_wins_over_a_credential(tmp_path):
    private(tmp_path / "redis-url", "redis://credential/0")
    both = environment("REDIS_URL", CREDENTIALS_DIRECTORY=str(tmp_path), KINTO_NOTIFY_REDIS_URL="redis://given/0")
    assert load_settings(both).redis_url == "redis://given/0"
    del both["KINTO_NOTIFY_REDIS_URL"]
    assert load_settings(both).redis_url == "redis://credential/0"
    both["KINTO_NOTIFY_REDIS_URL_FILE"] = private(tmp_path / "other", "redis://file/0")
    assert load_settings(both).redis_url == "redis://file/0"


def test_g03_both_given_is_a_problem(tmp_path):
    path = private(tmp_path / "secret", "one")
    given = {"KINTO_NOTIFY_SMTP_PASSWORD": "other", "KINTO_NOTIFY_SMTP_PASSWORD_FILE": path}
    with pytest.raises(ConfigError) as caught:
        load_settings(environment("SMTP_PASSWORD", **given))
    assert caught.value.problems == (
        "KINTO_NOTIFY_SMTP_PASSWORD_FILE: KINTO_NOTIFY_SMTP_PASSWORD is given too; keep one of them",
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "cannot read"),
        (lambda path: path.mkdir(), "cannot read"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\n"), "is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda path: path.write_bytes(b"x" * 70_000), "longer than"),
    ],
)
def test_g03_a_file_that_holds_no_secret(make, told, tmp_path):
    path = tmp_path / "secret"
    make(path)
    with pytest.raises(ConfigError) as caught:
        load_settings(environment("ADMIN_TOKEN", KINTO_NOTIFY_ADMIN_TOKEN_FILE=str(path)))
    (line,) = caught.value.problems
    assert line.startswith("KINTO_NOTIFY_ADMIN_TOKEN_FILE: ")
    assert told in line
    assert str(path) in line


def test_g03_a_file_that_everybody_can_read_is_a_warning(tmp_path):
    path = private(tmp_path / "secret", RIGHT["SMTP_PASSWORD"], 0o644)
    settings = load_settings(environment("SMTP_PASSWORD", KINTO_NOTIFY_SMTP_PASSWORD_FILE=path))
    assert settings.warnings == (f"KINTO_NOTIFY_SMTP_PASSWORD_FILE: {path} can be read by everybody; chmod 600 it",)


def test_a_weak_secret_is_a_warning_that_names_where_it_came_from(tmp_path):
    path = private(tmp_path / "secret", "short")
    settings = load_settings(environment("ADMIN_TOKEN", KINTO_NOTIFY_ADMIN_TOKEN_FILE=path))
    assert "KINTO_NOTIFY_ADMIN_TOKEN_FILE: is shorter than 16 characters, easy to guess" in settings.warnings


#: Wrong in ways that parsers like to quote: each holds hunter2.
WRONG = {
    "SMTP_PASSWORD": ["hunter2"],
    "SMTP_URL": [
        "hunter2",
        "smtp://u:hunter2@mail:port",
        "smtp://u:hunter2/x@mail",
        "smtp://u:hunter2@",
        "ftp://u:hunter2@mail",
        "smtp://hunter2@mail",
        "smtp://u:hunter2@[::1",
    ],
    "REDIS_URL": [
        "hunter2",
        "redis://:hunter2@host:port/0",
        "redis://:hunter2/x@host:1/0",
        "http://:hunter2@host",
        "redis://:hunter2 @host",
        "redis://:hunter2@[::1/0",
        "redis://:hunter2@",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
@pytest.mark.parametrize("way", ["environment", "file", "credential"])
def test_a_problem_shows_no_secret(name, text, way, tmp_path):
    given = {
        "environment": {f"KINTO_NOTIFY_{name}": text},
        "file": {f"KINTO_NOTIFY_{name}_FILE": private(tmp_path / "file", text)},
        "credential": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    }[way]
    if way == "credential":
        private(tmp_path / name.lower().replace("_", "-"), text)
    # A bare password lacks its user; the other names fail by themselves.
    base = {"KINTO_NOTIFY_SENDER": "kinto@example.org", **given}
    with pytest.raises(ConfigError) as caught:
        load_settings(base)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_no_secret_in_the_repr_of_settings():
    given = {f"KINTO_NOTIFY_{name}": text for name, text in RIGHT.items()}
    settings = load_settings(environment("", KINTO_NOTIFY_PUBLIC_URL="https://n.example", **given))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.warnings)
