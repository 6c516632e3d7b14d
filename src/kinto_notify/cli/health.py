"""`kinto-notify health`: ask the running daemon whether it is well, or ready; made for containers and monitors."""

import argparse
import urllib.error
import urllib.request
from http.client import HTTPException

from kinto_notify.errors import ConfigError, Unavailable

_TIMEOUT_S = 5.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("health", help="ask the running daemon whether it is well", description=__doc__)
    parser.add_argument("--ready", action="store_true", help="ask whether mail could be sent now (/readyz)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit 0 when `/healthz` (or `/readyz`) says so, 69 when it does not or cannot be reached."""
    from kinto_notify.settings import load_settings

    bind = load_settings().web_bind
    if bind is None:
        raise ConfigError("KINTO_NOTIFY_WEB_BIND is off: there is no health to ask for")
    host, port = bind
    # A daemon that listens on all addresses is asked on loopback.
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    url = f"http://{f'[{asked}]' if ':' in asked else asked}:{port}/{'readyz' if arguments.ready else 'healthz'}"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            print(answer.read().decode().strip())
    except urllib.error.HTTPError as fault:
        with fault:
            raise Unavailable(f"{url}: {fault.read(200).decode(errors='replace').strip()}") from None
    except urllib.error.URLError as fault:
        raise Unavailable(f"{url}: {fault.reason}") from None
    except (OSError, HTTPException) as fault:
        # It hung, or it is no HTTP server.
        raise Unavailable(f"{url}: {str(fault) or type(fault).__name__}") from None
    return 0
