"""Where the values of settings come from: the environment, files it names, and systemd's credentials.

In: the environment. Out: the text of each variable that was given, with every problem and warning met on the way.
Nothing is raised here: the settings list all problems at once. No text in a problem or warning is a secret's value.
"""

import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kinto_notify.nearest import nearest

PREFIX = "KINTO_NOTIFY_"
#: These have a `_FILE` twin and are looked up in `$CREDENTIALS_DIRECTORY` (as `smtp-password`, ...).
SECRETS = ("SMTP_PASSWORD", "SMTP_URL", "REDIS_URL", "SECRET", "ADMIN_TOKEN")
#: Of our test tools, which share the prefix: nothing to the daemon's settings.
_OF_TOOLS = frozenset({"FAULT", "REDIS_SERVER"})
#: What other programs call ours: whoever writes these means those.
_ELSEWHERE = {
    **dict.fromkeys(("SMTP_HOST", "SMTP_PORT", "SMTP_SERVER", "SMTP_TLS"), "SMTP_URL"),
    **dict.fromkeys(("REDIS_HOST", "REDIS_PORT", "BROKER_URL"), "REDIS_URL"),
    **dict.fromkeys(("FROM", "FROM_ADDRESS", "MAIL_FROM"), "SENDER"),
    "SMTP_USER": "SMTP_USERNAME",
    "TO": "RECIPIENTS",
}
#: A secret is a line; whatever is longer than this is another file (or a device without end).
_MAX_BYTES = 65_536


@dataclass(slots=True)
class Gathered:
    """The text of each given variable, without the prefix; `origin` names the variable it really came from."""

    values: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def gather(environ: Mapping[str, str], names: Collection[str]) -> Gathered:
    """Collect the variables `names`; an empty one counts as not given, an unknown one is a problem."""
    found = Gathered()
    twins = {f"{name}_FILE" for name in SECRETS}
    known = {*names, *twins}
    for full in sorted(environ):
        name = full.removeprefix(PREFIX)
        if name == full or name in _OF_TOOLS:
            continue
        if name not in known:
            meant = nearest(name, known, PREFIX, elsewhere=_ELSEWHERE)
            found.problems.append(f"{full}: there is no such setting{meant}")
        elif name in twins:
            _from_twin(found, environ, name)
        elif environ[full].strip():
            # The ends of a password may be blanks; of everything else they are a slip.
            found.values[name] = environ[full] if name in SECRETS else environ[full].strip()
            found.origin[name] = full
    _from_credentials(found, environ.get("CREDENTIALS_DIRECTORY", ""))
    return found


def _from_twin(found: Gathered, environ: Mapping[str, str], twin: str) -> None:
    """Take a secret from the file that the environment names."""
    name, full, path = twin.removesuffix("_FILE"), PREFIX + twin, environ[PREFIX + twin].strip()
    if not path:
        return
    if environ.get(PREFIX + name, "").strip():
        found.problems.append(f"{full}: {PREFIX}{name} is given too; keep one of them")
        return
    _read(found, name, full, Path(path))
    try:
        if os.stat(path).st_mode & stat.S_IROTH:
            found.warnings.append(f"{full}: {path} can be read by everybody; chmod 600 it")
    except OSError:
        pass  # It could not be read either: that problem stands already.


def _from_credentials(found: Gathered, directory: str) -> None:
    """Take the secrets that the environment does not give from systemd's credentials."""
    if not directory:
        return
    for name in SECRETS:
        path = Path(directory, name.lower().replace("_", "-"))
        if name not in found.values and path.is_file():
            _read(found, name, f"credential {path.name}", path)


def _read(found: Gathered, name: str, origin: str, path: Path) -> None:
    """Read one secret; the newline that every editor puts at the end does not belong to it."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode().removesuffix("\n").removesuffix("\r")
    except OSError as fault:
        found.problems.append(f"{origin}: cannot read {path}: {fault.strerror}")
    except UnicodeDecodeError:
        found.problems.append(f"{origin}: {path} is not UTF-8 text")
    else:
        if len(raw) > _MAX_BYTES:
            found.problems.append(f"{origin}: {path} is longer than {_MAX_BYTES} bytes; is it the right file?")
        elif not text.strip():
            found.problems.append(f"{origin}: {path} is empty")
        else:
            found.values[name] = text
            found.origin[name] = origin
