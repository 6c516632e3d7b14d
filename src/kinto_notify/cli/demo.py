"""`kinto-notify demo`: watch a write to a real Kinto become a mail, with nothing set up.

In: `--once`. Out: 0 when all mails arrived (`--once`) or when the person has seen enough; `ConfigError` when what the
demo needs is not installed, `Unavailable` when something did not start or did not arrive.
"""

import argparse
import asyncio
import contextlib
import io
import signal
import sys
from importlib.util import find_spec

from kinto_notify.errors import ConfigError

_NEEDED = ("aiohttp", "aiosmtpd", "kinto")
_INTERRUPTED = 130


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "demo",
        help="watch a write to a real Kinto become a mail",
        description="Starts a private Redis, a real Kinto, the daemon and an inbox on free loopback ports, writes to "
        "Kinto and shows the mails that arrive, here and on a page. Needs the [demo] extra; leaves nothing behind.",
    )
    parser.add_argument("--once", action="store_true", help="end when all mails have arrived, instead of at Ctrl-C")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; Ctrl-C is the usual end, and a fault only with `--once`."""
    once: bool = args.once
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"the demo needs {', '.join(missing)}: pip install 'kinto-notify[demo]'")
    try:
        asyncio.run(_play(once))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _INTERRUPTED if once else 0
    return 0


async def _play(once: bool) -> None:
    # Only now: these need the [demo] extra.
    from kinto_notify.demo.demo import play
    from kinto_notify.demo.terminal import Terminal

    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Mails have letters that an old terminal can't show; that must not end the demo.
        sys.stdout.reconfigure(errors="replace")
    await play(once, Terminal(sys.stdout))
