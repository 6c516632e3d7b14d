"""The door: parses a command, runs it, and turns errors into one line a problem and an exit code."""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module, metadata

from kinto_notify import __version__
from kinto_notify.errors import ConfigError, KintoNotifyError

#: One module each, in the order of `--help`.
COMMANDS = (
    "run",
    "check",
    "demo",
    "relay",
    "replay",
    "init_db",
    "status",
    "health",
    "pause",
    "explain",
    "preview",
    "test_hooks",
    "dead_letters",
    "subscriptions",
    "recipients",
    "schema",
    "unit",
)
_EXIT_USAGE = 64
_EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Says a wrong command line in two lines and exits with 64 (EX_USAGE), not argparse's 2."""

    def error(self, message: str) -> "argparse.NoReturn":  # type: ignore[name-defined]
        self.exit(_EXIT_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")

    def exit(self, status: int = 0, message: str | None = None) -> "argparse.NoReturn":  # type: ignore[name-defined]
        """End; a reader of `--help` that has gone is met here, where `main` is still there to catch it."""
        sys.stdout.flush()
        super().exit(status, message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="kinto-notify", description="Email notifications for Kinto.")
    parser.add_argument("--version", action="version", version=_versions())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        try:
            import_module(f"kinto_notify.cli.{name}").add_parser(commands)
        except ModuleNotFoundError as fault:
            _add_lacking(commands, name, fault)
    return parser


def _add_lacking(commands: "argparse._SubParsersAction[_Parser]", name: str, fault: ModuleNotFoundError) -> None:
    """Add a command that cannot be loaded in Kinto's own environment: it says what to install, whatever its options."""
    if (fault.name or "").startswith("kinto_notify"):
        raise fault

    def run(arguments: argparse.Namespace) -> int:
        raise fault

    parser = commands.add_parser(
        name.replace("_", "-"), help="needs kinto-notify[daemon]", prefix_chars="\0", add_help=False
    )
    # No argument can begin with a NUL: none of them is an option.
    parser.add_argument("given", nargs="*")
    parser.set_defaults(run=run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (design: 0, 1 unexpected, 64, 65, 69, 75, 78)."""
    try:
        parsed = build_parser().parse_args(arguments)
        code: int = parsed.run(parsed)
        # Not at the interpreter's exit, where nobody catches what it raises.
        sys.stdout.flush()
    except KintoNotifyError as fault:
        lines = fault.problems if isinstance(fault, ConfigError) else str(fault).splitlines()
        for line in lines:
            print(f"kinto-notify: {line}", file=sys.stderr)
        return fault.exit_code
    except ModuleNotFoundError as fault:
        if (fault.name or "").startswith("kinto_notify"):
            raise
        # Kinto's own environment has the base install only: enough for `relay`, `unit` and `schema`.
        print(f"kinto-notify: {fault.name} is not installed: pip install 'kinto-notify[daemon]'", file=sys.stderr)
        return ConfigError.exit_code
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as fault:
        if os.environ.get("KINTO_NOTIFY_LOG_LEVEL", "").lower() == "debug":
            raise
        print(
            f"kinto-notify: unexpected {type(fault).__name__}: {fault}\n"
            "kinto-notify: this is a bug; KINTO_NOTIFY_LOG_LEVEL=debug shows where",
            file=sys.stderr,
        )
        return 1
    return code


def _versions() -> str:
    told = [f"kinto-notify {__version__}", f"Python {platform.python_version()}"]
    for package in ("redis", "aiosmtplib", "pydantic", "kinto"):
        try:
            told.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(told)
