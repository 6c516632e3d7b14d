"""`kinto-notify unit`: the systemd units that come with the package, to be put where the operator wants them.

In: a unit's name, or none. Out: its text, or the list of all, on standard output. An unknown name is a `UsageError`.
"""

import argparse
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from kinto_notify.errors import UsageError
from kinto_notify.nearest import nearest


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "unit",
        help="list the systemd units, or print one",
        description="Without NAME, list the systemd units. With NAME, print one: "
        "kinto-notify unit kinto-notify.service > /etc/systemd/system/kinto-notify.service",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="as listed; .service may be left out")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the units, or print one."""
    units = find_units()
    if arguments.name is None:
        width = max(map(len, units))
        for name, file in units.items():
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            print(f"{name:{width}}  {first.removeprefix('# ')}")
        return 0
    found = units.get(arguments.name) or units.get(f"{arguments.name}.service")
    if found is None:
        raise UsageError(f"there is no unit {arguments.name!r}{nearest(arguments.name, units)}")
    print(found.read_text(encoding="utf-8"), end="")
    return 0


def find_units() -> dict[str, Traversable]:
    """Return the unit files by name; a drop-in has its directory in its name."""
    package = resources.files("kinto_notify")
    shipped: Traversable = package.joinpath("share", "systemd")
    if not shipped.is_dir():
        # An editable install has no share directory: its units stand in the checkout.
        shipped = Path(str(package)).parents[1] / "systemd"
    if not shipped.is_dir():
        raise UsageError("this installation came without its systemd units")
    return dict(sorted(_walk(shipped, "")))


def _walk(directory: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in directory.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif not entry.name.startswith("."):
            found.append((prefix + entry.name, entry))
    return found
