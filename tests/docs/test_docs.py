"""The documents name all there is, and nothing that is not there."""

import argparse
import ast
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import kinto_notify
from kinto_notify import errors
from kinto_notify.cli import build_parser
from kinto_notify.credentials import SECRETS
from kinto_notify.outbox.settings import read_settings
from kinto_notify.settings import VARIABLES, load_settings
from kinto_notify.subscription_table import DigestTable, SubscriptionTable
from kinto_notify.telemetry import Telemetry
from support.documents import PAGES, ROOT, commands, page, rows, section, ticked

SOURCE = Path(kinto_notify.__file__).parent
SETTINGS = rows(section("README.md", "Settings of the daemon"))
GIVEN = {"KINTO_NOTIFY_SENDER": "kinto@example.org"}


def test_every_variable_has_its_row() -> None:
    told = [name for cells in SETTINGS for name in ticked(cells[0])]
    assert sorted(told) == sorted(VARIABLES)


def test_the_secrets_are_marked() -> None:
    marked = {name for cells in SETTINGS for name in re.findall(r"`(\w+)` ˢ", cells[0])}
    assert marked == set(SECRETS)


@pytest.mark.parametrize("cells", SETTINGS, ids=lambda cells: cells[0])
def test_a_default_in_the_table_is_the_true_one(cells: list[str]) -> None:
    names, values = ticked(cells[0]), ticked(cells[1])
    if len(values) != len(names) or cells[1].replace("`", "") != ", ".join(values):
        # In words, like "none": nothing to compare but that it may be left out.
        load_settings(GIVEN | ({} if cells[1] != "required" else {f"KINTO_NOTIFY_{names[0]}": "a@example.org"}))
        assert cells[1] == "required" or not set(names) & {"SENDER"}
        return
    if names == ["BOUNCE_ADDRESS"]:
        assert load_settings(GIVEN).bounce_address == load_settings(GIVEN).sender
        return
    given = {f"KINTO_NOTIFY_{name}": value for name, value in zip(names, values, strict=True)}
    assert load_settings(GIVEN | given) == load_settings(GIVEN)


def test_no_page_names_a_variable_that_is_not_there() -> None:
    known = {f"KINTO_NOTIFY_{name}" for name in VARIABLES} | {f"KINTO_NOTIFY_{name}_FILE" for name in SECRETS}
    for path in PAGES:
        named = set(re.findall(r"(?<!\w)KINTO_NOTIFY_[A-Z_]*[A-Z]", path.read_text("utf-8")))
        assert named <= known, path.name


class Asked(dict[str, str]):
    """Settings that remember what they were asked for."""

    def __init__(self, **given: str) -> None:
        super().__init__(given)
        self.keys_asked: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.keys_asked.add(key)
        return super().get(key, default)


def test_every_key_of_the_listener_has_its_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    asked = Asked(**{"n.url": "redis://localhost"})
    read_settings(asked, "n.")
    known = {key.removeprefix("n.") for key in asked.keys_asked if key.startswith("n.")}
    told = [name for cells in rows(section("README.md", "Kinto's side")) for name in ticked(cells[0])]
    assert sorted(told) == sorted(known | {"use", "actions", "resources"})


def _parsers(parser: argparse.ArgumentParser, path: str = "") -> dict[str, argparse.ArgumentParser]:
    found = {path: parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found |= _parsers(inner, f"{path} {name}".strip())
    return found


def test_every_command_and_option_is_in_the_readme() -> None:
    parsers = _parsers(build_parser())
    table = rows(section("README.md", "Commands"))
    told = {cells[0].strip("`").split()[1] for cells in table}
    assert told == {name.split()[0] for name in parsers if name}
    text = {cells[0].strip("`").split()[1]: " ".join(cells) for cells in table}
    for name, parser in parsers.items():
        for option in (option for action in parser._actions for option in action.option_strings if name):
            where = text[name.split()[0]] + page("docs/operations.md") * (name.startswith("dead-letters"))
            assert option in (*ticked_words(where), "-h", "--help", "--limit"), f"{name} {option}"
    acts = {name.split()[1] for name in parsers if name.startswith("dead-letters ")}
    assert acts <= set(ticked_words(text["dead-letters"]))


def ticked_words(text: str) -> set[str]:
    return {word for one in ticked(text) for word in one.split()}


@pytest.mark.parametrize(
    ("where", "arguments"), commands(), ids=lambda one: one if isinstance(one, str) else " ".join(one)
)
def test_every_command_that_a_page_shows_parses(where: str, arguments: list[str]) -> None:
    if " ".join(arguments) in _parsers(build_parser()):
        # In a sentence a command is named without what it needs.
        return
    parsed = build_parser().parse_args([one.rstrip("…") for one in arguments])
    assert callable(parsed.run), where


def test_every_exit_code_is_explained() -> None:
    codes = {one.exit_code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "exit_code")}
    raised = {one for one in codes if one != errors.TryLater.exit_code or _raised("TryLater")}
    told = {int(cells[0]) for cells in rows(section("docs/operations.md", "Exit codes"))}
    assert told == raised | {0, 130}


def _raised(name: str) -> bool:
    return any(f"raise {name}" in path.read_text("utf-8") for path in SOURCE.rglob("*.py"))


def test_every_metric_has_its_row() -> None:
    shown = text_string_to_metric_families(Telemetry().exposition().decode())
    # `_created` is prometheus_client's own addition to each counter.
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in shown}
    real = {name for name in names if not name.endswith("_created")}
    told = {
        name.partition("{")[0]
        for cells in rows(section("docs/operations.md", "Health and metrics"))
        for name in ticked(cells[0])
    }
    assert told == real
    named = set(re.findall(r"kinto_notify_\w+", page("docs/operations.md")))
    # Of the database: our table, and its version among Kinto's.
    assert named - {"kinto_notify_outbox", "kinto_notify_schema_version"} == real


def test_every_log_line_has_its_row_with_its_level() -> None:
    tree = ast.parse((SOURCE / "telemetry.py").read_text("utf-8"))
    real = {
        (node.args[0].value, node.func.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "self._log"
        and isinstance(node.args[0], ast.Constant)
    }
    told = {(name, cells[1]) for cells in rows(section("docs/operations.md", "The log")) for name in ticked(cells[0])}
    assert told == real


def test_every_key_in_redis_has_its_row() -> None:
    scripts = [path.read_text("utf-8") for path in (SOURCE / "store").glob("*.lua")]
    real = {name for text in scripts for name in re.findall(r"prefix \.\. ':([a-z-]+)", text)}
    modules = [path.read_text("utf-8") for path in (SOURCE / "store").glob("*.py")]
    real |= {name for text in modules for name in re.findall(r'(?:\.key|_client\.hash|\.field)\(f?"([a-z]+)', text)}
    # A name that is deleted and never written is no key.
    real.discard("none")
    told = {
        name.partition(":")[0]
        for cells in rows(section("docs/architecture.md", "The keys in Redis"))
        for name in ticked(cells[0])
    }
    assert told == real | {"events"}
    # How long and how large: for the operator.
    stored = rows(section("docs/operations.md", "What is stored where"))
    kept = {name.partition(":")[0] for cells in stored if cells[0].startswith("Redis") for name in ticked(cells[0])}
    assert kept == told


def test_every_module_has_its_floor_in_the_architecture() -> None:
    table = " ".join(ticked(section("docs/architecture.md", "The floors")))
    rooms = {path.name + ("/" if path.is_dir() else "") for path in SOURCE.iterdir() if path.suffix in (".py", "")}
    assert rooms - {"__init__.py", "__pycache__/", "share/"} <= set(table.split())


def test_every_key_of_a_subscription_is_explained() -> None:
    text = page("docs/subscriptions.md")
    told = set(ticked(text))
    assert told >= set(SubscriptionTable.model_fields) - {"digest", "collapse"}
    digest = set(ticked(section("docs/subscriptions.md", "When")))
    assert digest >= set(DigestTable.model_fields) - {"collapse"}
    assert 'collapse = "net"' in digest


def test_every_target_of_make_is_in_contributing() -> None:
    real = set(re.findall(r"^([a-z-]+):.*## ", page("Makefile"), re.MULTILINE))
    told = {name for cells in rows(page("CONTRIBUTING.md")) for name in ticked(cells[0])}
    assert told == {f"make {name}" for name in real}


def test_every_page_that_is_linked_is_there() -> None:
    for path in PAGES:
        text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', text):
            link = target[0] or target[1]
            if link.startswith("https://"):
                continue
            file, _, anchor = link.partition("#")
            linked = (path.parent / file) if file else path
            assert linked.exists(), f"{path.name}: {link}"
            if anchor:
                heads = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}, link


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        ahead += [
            (path.parent / link).resolve() for link in re.findall(r"\]\(([^)#:\s]+\.md)", path.read_text("utf-8"))
        ]
    assert seen == {path.resolve() for path in PAGES if path.name != "CHANGELOG.md"} | ({ROOT / "CHANGELOG.md"} & seen)
