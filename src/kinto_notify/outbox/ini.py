"""Kinto's ini file, read from outside Kinto: which of our listeners it switches on, and their settings.

In: the path of an ini file, and the environment. Out: one `OutboxSettings` for each listener. Fails with
`ConfigError` that names the file or the settings.
"""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from kinto_notify.errors import ConfigError
from kinto_notify.outbox.settings import OutboxSettings, read_settings

_SECTION = "app:main"
_PROJECTS = ("kinto", "cliquet")
#: Other keys are not read: they may hold what only their server can interpolate.
_WANTED = ("listeners", "notify", "includes", "storage_url", "storage_backend")
_MODULES = ("kinto_notify.listener", "kinto_notify")


def read_ini(path: Path) -> list[OutboxSettings]:
    """Read the settings of every kinto-notify listener of an ini; at least one, or `ConfigError`."""
    settings = _app_settings(path)
    problems: list[str] = []
    found: list[OutboxSettings] = []
    for prefix in _prefixes(settings):
        try:
            found.append(read_settings(settings, prefix))
        except ConfigError as error:
            problems += [f"{path}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    if not found:
        raise ConfigError(f"{path}: neither event_listeners nor includes names kinto_notify")
    return list(dict.fromkeys(found))


def _app_settings(path: Path) -> dict[str, str]:
    """Return the settings of `[app:main]` without the project's prefix, as Pyramid would hold them."""
    here = str(path.absolute().parent)
    parser = configparser.ConfigParser(defaults={"here": here, "__file__": str(path.absolute())}, strict=False)
    try:
        with path.open() as file:
            parser.read_file(file)
        own = [key for key in parser[_SECTION] if any(word in key for word in _WANTED)]
        values = {key: parser[_SECTION][key] for key in own}
        named = parser[_SECTION].get("project_name", raw=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except KeyError:
        raise ConfigError(f"{path}: has no section [{_SECTION}]") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    projects = [name for name in (named, *_PROJECTS) if name]
    settings = {}
    for key, value in values.items():
        project, dot, rest = key.partition(".")
        settings[rest if dot and project in projects else key] = value
    project = next((p for p in projects if any(key.startswith(f"{p}.") for key in values)), "kinto")
    settings["settings_prefix"] = project
    return settings


def _prefixes(settings: Mapping[str, str]) -> list[str]:
    prefixes = []
    earlier: list[str] = []
    for name in _value(settings, "event_listeners").split():
        prefix = f"event_listeners.{name.rpartition('.')[2]}."
        if name in _MODULES or _value(settings, f"{prefix}use") in _MODULES:
            prefixes.append(prefix)
            if settings["settings_prefix"] == "cliquet" and earlier:
                # Cliquet stops setting listeners up after one that only reads.
                raise ConfigError(f"event_listeners: cliquet ignores {name}, since {earlier[0]} before it only reads")
        if _value(settings, f"{prefix}actions").split() == ["read"]:
            earlier.append(name)
    if "kinto_notify" in _value(settings, "includes").split():
        prefixes.append("notify.")
    return prefixes


def _value(settings: Mapping[str, str], key: str) -> str:
    name = f"{settings['settings_prefix']}.{key}".replace(".", "_").replace("-", "_").upper()
    return os.environ.get(name, settings.get(key, ""))
