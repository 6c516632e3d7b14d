"""The Dockerfile and compose.yaml: read as Docker would, and run without it, as far as that goes."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from kinto_notify.cli import build_parser
from kinto_notify.daemon import DRAIN_MARGIN_S
from kinto_notify.demo.servers import KintoServer, RedisServer, Server, free_port
from kinto_notify.outbox.ini import read_ini
from kinto_notify.settings import load_settings
from support.documents import ROOT
from support.inbox import letters
from support.smtp_server import SmtpServerThread
from support.waiting import until

#: A repository of Docker Hub with a tag, and no registry's host before it.
IMAGE = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?:[A-Za-z0-9._-]+")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


class Stage(NamedTuple):
    """One stage of the Dockerfile: its name, what it is built from, its instructions."""

    name: str
    base: str
    lines: list[tuple[str, str]]

    def all(self, word: str) -> list[str]:
        return [text for one, text in self.lines if one == word]


def read_dockerfile() -> list[Stage]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(name, base, []))
        else:
            stages[-1].lines.append((word, rest))
    return stages


STAGES = read_dockerfile()
STAGE = {stage.name: stage for stage in STAGES}
RUNNING = [STAGE["kinto"], STAGE["daemon"]]


def variables(stage: Stage) -> dict[str, str]:
    return dict(word.split("=", 1) for text in stage.all("ENV") for word in shlex.split(text))


def test_every_stage_is_built_from_a_plain_image_or_an_earlier_stage() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert stage.base in seen or IMAGE.fullmatch(stage.base), stage
        seen.add(stage.name)
    for service in SERVICES.values():
        assert ("build" in service) != ("image" in service)
        assert "image" not in service or IMAGE.fullmatch(service["image"])
        assert "build" not in service or service["build"]["target"] in STAGE
    # Without --target the last one is built.
    assert STAGES[-1].name == "daemon"


def test_every_instruction_is_one_and_commands_are_lists() -> None:
    known = {"RUN", "COPY", "ENV", "USER", "EXPOSE", "WORKDIR", "CMD", "ENTRYPOINT", "HEALTHCHECK"}
    for stage in STAGES:
        assert {word for word, _ in stage.lines} <= known
        for text in stage.all("CMD") + stage.all("ENTRYPOINT"):
            # The shell's form would keep signals from the process.
            assert all(isinstance(word, str) for word in json.loads(text))


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    copied = {path for stage in STAGES for text in stage.all("COPY") if "--from" not in text for path in _sources(text)}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path.split("/")[0] in sent, path
    assert sent == {path.split("/")[0] for path in copied}
    # What the build of the package reads.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], "src"}
    assert wanted | set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]) <= copied
    for stage in STAGES:
        for text in stage.all("COPY"):
            if source := re.match(r"--from=(\S+) (\S+) ", text):
                assert any(source[2] in line for line in STAGE[source[1]].all("RUN"))


def _sources(text: str) -> list[str]:
    return [word.removeprefix("./") for word in text.split()[:-1]]


@pytest.mark.parametrize("stage", RUNNING, ids=lambda stage: stage.name)
def test_nothing_runs_as_root(stage: Stage) -> None:
    (user,) = stage.all("USER")
    assert int(user) > 0
    assert f"--uid {user} " in " ".join(stage.all("RUN"))
    words = [word for word, _ in stage.lines]
    assert words.index("USER") > max(index for index, word in enumerate(words) if word in ("RUN", "COPY"))


def test_every_package_of_the_images_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line.lower().replace("_", "-") for line in (ROOT / "requirements.lock").read_text().splitlines()]
    pinned = {line.partition("==")[0] for line in lines}
    asked = project["dependencies"] + project["optional-dependencies"]["daemon"] + ["kinto", "psycopg2-binary"]
    for stage in (STAGE["daemon-install"], STAGE["kinto-install"]):
        (line,) = [line for line in stage.all("RUN") if "pip install" in line]
        assert "-c requirements.lock" in line
        for extras in re.findall(r"'\.\[(.*?)\]'", line):
            for extra in extras.split(","):
                asked = [*asked, *project["optional-dependencies"][extra]]
    names = {re.split(r"[\[<>=;]", text)[0].lower().replace("_", "-") for text in asked}
    assert names <= pinned


def test_the_daemons_commands_are_commands() -> None:
    stage = STAGE["daemon"]
    entry, command = (json.loads(stage.all(word)[0]) for word in ("ENTRYPOINT", "CMD"))
    assert entry == ["kinto-notify"]
    assert callable(build_parser().parse_args(command).run)
    (health,) = stage.all("HEALTHCHECK")
    asked = json.loads(health.partition("CMD ")[2])
    assert asked[0] == "kinto-notify"
    assert callable(build_parser().parse_args(asked[1:]).run)


def daemon_environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """What the daemon's container finds, with the secret's file where it is here."""
    given = {**variables(STAGE["daemon"]), **SERVICES["notify"]["environment"]}
    for name in SERVICES["notify"]["secrets"]:
        assert given[f"KINTO_NOTIFY_{name.upper().replace('-', '_')}_FILE"] == f"/run/secrets/{name}"
        assert name in COMPOSE["secrets"]
        (tmp_path / name).write_text("s3cret\n")
        (tmp_path / name).chmod(0o400)
        given[f"KINTO_NOTIFY_{name.upper().replace('-', '_')}_FILE"] = str(tmp_path / name)
    return {name: value for name, value in given.items() if name.startswith("KINTO_NOTIFY_")} | more


def test_the_daemons_environment_is_good_settings(tmp_path: Path) -> None:
    settings = load_settings(daemon_environment(tmp_path))
    assert settings.warnings == ()
    assert settings.redis_url == "redis://valkey:6379/0"
    assert (settings.web_bind, settings.name) == (("0.0.0.0", 9464), "notify")
    assert settings.smtp_relays[0].password == "s3cret"
    stop = SERVICES["notify"]["stop_grace_period"]
    assert int(stop.removesuffix("s")) > settings.drain_timeout / 1000 + DRAIN_MARGIN_S
    assert not [name for name in SERVICES["notify"]["environment"] if name.endswith(("PASSWORD", "TOKEN", "_SECRET"))]


def test_what_must_outlive_a_container_has_a_volume() -> None:
    named = {
        volume.partition(":")[0]: volume.partition(":")[2]
        for one in SERVICES.values()
        for volume in one.get("volumes", [])
    }
    assert set(named) == set(COMPOSE["volumes"])
    assert named["valkey"] == "/data"
    (listener,) = read_ini(ROOT / "config" / "compose-kinto.ini")
    assert listener.spool.is_relative_to(named["spool"])
    assert listener.url == "redis://valkey:6379/0"
    assert f"install -d -o kinto -m 700 {named['spool']}" in STAGE["kinto"].all("RUN")[0]


def test_valkey_keeps_what_it_takes() -> None:
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {"--appendonly": "yes", "--maxmemory-policy": "noeviction"}


def test_no_port_is_open_to_the_world() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


# Without Docker: the same commands, below another root.


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds what both images hold under /opt; the RUN lines made it."""
    root = tmp_path_factory.mktemp("image")
    (root / "path").mkdir()
    (root / "path" / "python").symlink_to(sys.executable)
    for text in STAGE["source"].all("COPY"):
        where = root / "src" / text.split()[-1]
        for path in map(ROOT.joinpath, _sources(text)):
            if path.is_dir():
                shutil.copytree(path, where, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                where.mkdir(exist_ok=True)
                shutil.copy(path, where)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KINTO_", "VIRTUAL_ENV"))}
    environment["PATH"] = f"{root / 'path'}:{environment['PATH']}"
    for stage in (STAGE["daemon-install"], STAGE["kinto-install"]):
        for line in stage.all("RUN"):
            ran = subprocess.run(
                ["sh", "-euc", line.replace("/opt/", f"{root}/opt/")],
                cwd=root / "src",
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
            )
            if ran.returncode and re.search("No matching distribution|onnection|resolution", ran.stderr):
                pytest.skip("the images' pip lines: no package index can be reached")
            assert ran.returncode == 0, ran.stderr
    return root


class Container(Server):
    """A service of compose.yaml, started as its image starts it."""

    def __init__(self, directory: Path, words: list[str], environment: dict[str, str], probe: list[str]) -> None:
        super().__init__(directory)
        self._words, self._environment, self._probe = words, environment, probe
        self.name = Path(words[0]).name
        self.log = directory / f"{self.name}.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def command(self) -> list[str]:
        return self._words

    def environment(self) -> dict[str, str]:
        return self._environment

    def ready(self) -> bool:
        """The health check says so."""
        environment = {"PATH": os.environ["PATH"], **self._environment}
        return subprocess.run(self._probe, env=environment, capture_output=True, timeout=60).returncode == 0


@pytest.fixture
def kinto(image: Path, tmp_path: Path, valkey: RedisServer) -> Iterator[Container]:
    ini = tmp_path / "kinto.ini"
    text = (ROOT / "config" / "compose-kinto.ini").read_text()
    for old, new in (
        ("valkey:6379", f"127.0.0.1:{valkey.port}"),
        ("/var/lib/kinto-notify", str(tmp_path)),
        ("0.0.0.0", "127.0.0.1"),
    ):
        assert old in text
        text = text.replace(old, new)
    ini.write_text(text)
    port = str(free_port())
    words = [
        word.replace("/etc/kinto/kinto.ini", str(ini)).replace("8888", port)
        for word in json.loads(STAGE["kinto"].all("CMD")[0])
    ]
    words[0] = str(image / "opt" / "kinto" / "bin" / words[0])
    (secret,) = SERVICES["kinto"]["environment"]
    probe = [word.replace("8888", port) for word in SERVICES["kinto"]["healthcheck"]["test"][1:]]
    probe[0] = str(image / "opt" / "kinto" / "bin" / probe[0])
    server = Container(tmp_path, words, {secret: "0123456789abcdef", "KINTO_INI": str(ini)}, probe)
    server.port = int(port)
    with server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, SERVICES["valkey"]["command"][1:]) as server:
        yield server


def test_the_images_commands_work_outside_of_docker(
    image: Path, kinto: Container, valkey: RedisServer, tmp_path: Path
) -> None:
    """A write to that Kinto becomes a mail of that daemon, which its health check finds well and SIGTERM ends."""
    stage = STAGE["daemon"]
    program = str(image / "opt" / "kinto-notify" / "bin" / "kinto-notify")
    entry, command = (json.loads(stage.all(word)[0]) for word in ("ENTRYPOINT", "CMD"))
    probe = json.loads(stage.all("HEALTHCHECK")[0].partition("CMD ")[2])
    # The wheel brings the units along.
    shown = subprocess.run([program, "unit", "kinto-notify.service"], capture_output=True, text=True, timeout=60)
    assert shown.stdout == (ROOT / "systemd" / "kinto-notify.service").read_text()
    with SmtpServerThread() as smtp:
        smtp.server.users = {"kinto": "s3cret"}
        environment = daemon_environment(
            tmp_path,
            KINTO_NOTIFY_REDIS_URL=valkey.url,
            KINTO_NOTIFY_SMTP_URL=smtp.url,
            KINTO_NOTIFY_WEB_BIND=variables(stage)["KINTO_NOTIFY_WEB_BIND"].replace("9464", str(free_port())),
            KINTO_NOTIFY_DIGEST_WAIT="0s",
        )
        daemon = Container(tmp_path, [program, *entry[1:], *command], environment, [program, *probe[1:]])
        with daemon:
            assert KintoServer.request(kinto, "PUT", "/buckets/blog")[0] == 201  # type: ignore[arg-type]
            until(lambda: smtp.mails, 60)
            (letter,) = letters(smtp.mails)
            assert (letter.recipient, letter.mail.user) == ("editors@example.org", "kinto")
            assert "/buckets/blog" in letter.text
            daemon.signal(signal.SIGTERM)
            assert daemon.process is not None
            assert daemon.process.wait(60) == 0
        health = subprocess.run([program, *probe[1:]], env=environment, capture_output=True, text=True, timeout=60)
        assert health.returncode != 0
