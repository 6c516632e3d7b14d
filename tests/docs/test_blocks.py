"""What the documents show to be copied works as it stands."""

import configparser
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import redis
from pyramid.config import Configurator

from kinto_notify.catalogue import load_catalogue
from kinto_notify.demo.servers import RedisServer
from kinto_notify.event import parse_event
from kinto_notify.event_schema import event_schema
from kinto_notify.hook_check import check_metadata
from kinto_notify.outbox.settings import read_settings
from kinto_notify.settings import load_settings
from kinto_notify.smtp_listener import SmtpListener, load_from_config
from kinto_notify.wire import DEFAULT_NAMESPACE, events_key
from support.documents import Block, blocks
from support.kinto_app import close, kinto_app, listening
from support.smtp_server import SmtpServerThread
from support.waiting import until

GIVEN = {"KINTO_NOTIFY_SENDER": "kinto@example.org"}
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def named(block: Block) -> str:
    return f"{block.page}:{block.text.splitlines()[0][:40]}"


def listener_settings(text: str) -> dict[str, str]:
    """An ini block as Pyramid holds it: without the project's prefix."""
    parser = configparser.ConfigParser()
    parser.read_string(text if text.startswith("[") else f"[app:main]\n{text}")
    return {key.removeprefix("kinto."): value for key, value in parser["app:main"].items()}


@pytest.mark.parametrize("block", [one for one in blocks("ini") if "kinto_notify" in one.text], ids=named)
def test_an_ini_block_is_taken(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = listener_settings(block.text)
    if "kinto_notify.listener" in block.text:
        assert settings["event_listeners"] == "notify"
        assert read_settings(settings, "event_listeners.notify.").url == "redis://localhost:6379/0"
    else:
        prefix = "event_listeners.send_email."
        settings = listener_settings(TUTORIAL_MAIL) | settings
        assert isinstance(load_from_config(Configurator(settings=settings), prefix), SmtpListener)


@pytest.mark.parametrize("block", blocks("toml"), ids=named)
def test_a_toml_block_is_taken(block: Block, tmp_path: Path) -> None:
    if block.page == "docs/tutorial.md":
        assert tomllib.loads(block.text)["tool"]["setuptools"]["py-modules"] == ["kinto_email"]
        return
    text = block.text
    texts = [text]
    if "[[subscription]]" not in text:
        # Single keys; one after another, since some are shown in several forms.
        texts = [f'[[subscription]]\nrecipients = ["a@example.org"]\n{line}\n' for line in text.splitlines() if line]
    file = tmp_path / "subscriptions.toml"
    for one in texts:
        file.write_text(one)
        assert load_catalogue(load_settings(GIVEN | {"KINTO_NOTIFY_SUBSCRIPTIONS": str(file)})).subscriptions


def test_the_environment_of_the_quickstart_is_taken() -> None:
    shown = next(one for one in blocks("sh") if one.text.startswith("KINTO_NOTIFY_SENDER"))
    given = dict(line.split("=", 1) for line in shown.text.splitlines())
    settings = load_settings({name: value.strip('"') for name, value in given.items()})
    assert [str(relay) for relay in settings.smtp_relays] == ["localhost:8025"]


@pytest.mark.parametrize("block", blocks("sh"), ids=named)
def test_a_shell_block_is_shell(block: Block) -> None:
    ran = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")


@needs_node
@pytest.mark.parametrize("block", blocks("js"), ids=named)
def test_a_javascript_block_is_javascript(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "consume.mjs"
    file.write_text(block.text)
    ran = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_entry_in_the_wire_format_is_one() -> None:
    (block,) = [one for one in blocks("json") if one.page == "docs/wire-format.md"]
    event = parse_event(block.text)
    assert (event.data.action, event.data.changes[0].id) == ("update", "hello")
    shown, schema = json.loads(block.text), event_schema()["properties"]
    assert isinstance(schema, dict)
    assert set(shown) <= set(schema)
    assert set(shown["data"]) <= set(schema["data"]["properties"])


def test_the_hooks_that_are_shown_are_good_ones() -> None:
    shown = [json.loads(one.text)["data"] for one in blocks("json") if one.page == "docs/subscriptions.md"]
    assert shown
    for metadata in shown:
        assert check_metadata(metadata, "/buckets/blog/collections/articles").lines == ()


PYTHON = [one.text for one in blocks("python") if one.page == "docs/tutorial.md"]
TUTORIAL_PRINTING, TUTORIAL_MAILING = [text for text in PYTHON if "ListenerBase" in text]
TUTORIAL_CONSUMER = next(text for text in PYTHON if "xreadgroup" in text)
TUTORIAL_MAIL = next(one.text for one in blocks("ini") if "kinto@yopmail.com" in one.text)


@pytest.fixture
def on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The tutorial's directory `listeners`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kinto_email", raising=False)
    return tmp_path / "kinto_email.py"


def test_the_first_listener_of_the_tutorial_prints(on_the_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_the_path.write_text(TUTORIAL_PRINTING)
    app = kinto_app({"event_listeners": "send_email", "event_listeners.send_email.use": "kinto_email"})
    app.put_json("/v1/buckets/blog", {})
    assert "'uri': '/buckets/blog'" in capsys.readouterr().out


def test_the_listener_of_the_tutorial_mails_new_buckets(on_the_path: Path) -> None:
    on_the_path.write_text(TUTORIAL_MAILING)
    with SmtpServerThread() as smtp:
        settings = {"event_listeners": "send_email", "event_listeners.send_email.use": "kinto_email"}
        settings |= listener_settings(TUTORIAL_MAIL.replace("localhost:8025", smtp.url.removeprefix("smtp://")))
        app = kinto_app(settings)
        app.put_json("/v1/buckets/blog", {})
        app.put_json("/v1/buckets/blog/collections/articles", {})
        (mail,) = smtp.wait_for(1)
        app.put_json("/v1/buckets/blog2", {})
        # Had the collection been mailed, it would stand between the two.
        second = smtp.wait_for(2)[1]
    assert b"Subject: bucket created" in mail.raw
    assert b"/buckets/blog" in mail.raw
    assert b"/buckets/blog2" in second.raw


def test_the_consumer_of_the_tutorial_gets_every_change_and_acknowledges_it(tmp_path: Path) -> None:
    (tmp_path / "consume.py").write_text(
        TUTORIAL_CONSUMER.replace("redis.Redis(", "redis.Redis.from_url(__import__('sys').argv[1], ")
    )
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        app = kinto_app(listening(server.url, tmp_path / "spool"))
        app.put_json("/v1/buckets/blog", {})
        app.delete("/v1/buckets/blog")
        until(lambda: client.xlen(events_key(DEFAULT_NAMESPACE)) == 2)
        close(app)
        told = tmp_path / "told"
        with told.open("wb") as out:
            consumer = subprocess.Popen([sys.executable, str(tmp_path / "consume.py"), server.url], stdout=out)
        try:
            until(lambda: len(told.read_text().splitlines()) == 2)
            until(lambda: client.xpending(events_key(DEFAULT_NAMESPACE), "tutorial")["pending"] == 0)
        finally:
            consumer.kill()
            consumer.wait()
        first, second = told.read_text().splitlines()
    assert first.startswith("create /buckets/blog by basicauth:")
    assert second.startswith("delete /buckets/blog by basicauth:")
