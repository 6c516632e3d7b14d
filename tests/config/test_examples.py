"""The examples that we ship work as they stand, and leave nothing out."""

import configparser
import re
from pathlib import Path

import pytest

from kinto_notify.catalogue import load_catalogue
from kinto_notify.outbox.settings import read_settings
from kinto_notify.settings import VARIABLES, load_settings

CONFIG = Path(__file__).parents[2] / "config"
_VARIABLE = re.compile(r"#KINTO_NOTIFY_([A-Z_]+)=(.*)")


def example_variables():
    lines = (CONFIG / "kinto-notify.env").read_text().splitlines()
    return dict(found.groups() for line in lines if (found := _VARIABLE.fullmatch(line)))


def test_the_environment_file_has_every_variable():
    assert set(example_variables()) == VARIABLES


def test_every_default_in_the_environment_file_is_the_true_one():
    shown = example_variables()
    given = {"KINTO_NOTIFY_SENDER": "kinto@example.org"}
    true = load_settings(given)
    # The others have no default, or one that is no text: those show what a value looks like.
    of_default = {
        "REDIS_URL",
        "NAMESPACE",
        "STREAM_KEEP",
        "SMTP_URL",
        "SMTP_SESSIONS",
        "DIGEST_WAIT",
        "DIGEST_INTERVAL",
        "RETRY_MIN",
        "RETRY_MAX",
        "GIVE_UP_AFTER",
        "DRAIN_TIMEOUT",
        "TIMEZONE",
        "WEB_BIND",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "DRY_RUN",
    }
    assert load_settings({**given, **{f"KINTO_NOTIFY_{name}": shown[name] for name in of_default}}) == true


def test_the_examples_in_the_environment_file_are_good_values(tmp_path):
    shown = {name: text.strip('"') for name, text in example_variables().items()}
    # Of files only the operator's machine has them; secrets are shown empty.
    for name, path in {"SUBSCRIPTIONS": "s.toml", "SMTP_CA": "ca.pem"}.items():
        (tmp_path / path).touch()
        shown[name] = str(tmp_path / path)
    shown["TEMPLATES"] = str(tmp_path)
    shown.update(SMTP_PASSWORD="x", SECRET="0123456789abcdef", ADMIN_TOKEN="0123456789abcdef")
    settings = load_settings({f"KINTO_NOTIFY_{name}": text for name, text in shown.items()})
    assert str(settings.sender) == "Kinto <kinto@example.org>"
    assert len(settings.recipients) == 2


def load_examples(tmp_path, uncommented):
    file = tmp_path / "subscriptions.toml"
    file.write_text(uncommented)
    given = {"KINTO_NOTIFY_SENDER": "kinto@example.org", "KINTO_NOTIFY_SUBSCRIPTIONS": str(file)}
    return load_catalogue(load_settings(given)).subscriptions


def test_the_subscriptions_load_as_they_are_and_all_uncommented(tmp_path):
    text = (CONFIG / "subscriptions.toml").read_text()
    assert load_examples(tmp_path, text) == ()
    found = load_examples(tmp_path, re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE))
    assert [one.presentation.name for one in found] == ["new-buckets", "articles", "my-articles", "prices", "audit"]


@pytest.mark.parametrize("uncommented", [False, True])
def test_the_lines_for_kintos_ini_are_the_listeners_settings(uncommented, tmp_path):
    text = (CONFIG / "kinto.ini").read_text()
    if uncommented:
        text = re.sub(r"^# (?=kinto\.)", "", text, flags=re.MULTILINE)
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.read_string("[app:main]\n" + text)
    keys = {key.removeprefix("kinto."): value for key, value in parser["app:main"].items()}
    found = read_settings({**keys, "settings_prefix": "kinto"}, "event_listeners.notify.")
    assert keys["event_listeners"] == "notify"
    assert keys["event_listeners.notify.use"] == "kinto_notify.listener"
    assert found.url == "redis://localhost:6379/0"
    plain = read_settings(
        {"event_listeners.notify.url": found.url, "event_listeners.notify.spool": str(found.spool)},
        "event_listeners.notify.",
    )
    assert found == plain
    # The three lines, and all keys of the contract.
    assert len(keys) == (16 if uncommented else 3)
