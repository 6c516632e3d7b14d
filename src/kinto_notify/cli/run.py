"""`kinto-notify run`: the daemon, in the foreground, logging to standard output."""

import argparse
import asyncio
import sys
from collections.abc import Callable


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="run the daemon", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do what is due now, then exit")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build the settings once and run; the exit code of a drained daemon is 0."""
    from kinto_notify.daemon import Daemon
    from kinto_notify.dry_run import dry_run
    from kinto_notify.settings import load_settings
    from kinto_notify.telemetry import Telemetry, configure_logging

    settings = load_settings()
    form = settings.log_format
    if form == "auto":
        form = "console" if sys.stdout.isatty() else "json"
    level = settings.log_level.upper()
    configure_logging("console" if form == "console" else "json", level)
    telemetry = Telemetry(level)
    if settings.dry_run:
        return asyncio.run(dry_run(settings, telemetry, once=arguments.once))

    async def serve() -> int:
        daemon = Daemon(settings, telemetry)
        return await (daemon.once() if arguments.once else daemon.run())

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(serve())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where the `[uvloop]` extra is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop
