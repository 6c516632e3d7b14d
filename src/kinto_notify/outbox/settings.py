"""The listener's settings in Kinto's ini or environment.

In: Pyramid's settings (un-prefixed keys), the prefix of our keys (`event_listeners.notify.` or `notify.`).
Out: one frozen `OutboxSettings`. Fails with `ConfigError` that lists every wrong setting by its full name;
values that may hold a password are never repeated.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kinto_notify import wire
from kinto_notify.duration import parse_duration
from kinto_notify.errors import ConfigError
from kinto_notify.nearest import nearest
from kinto_notify.outbox import redis_url
from kinto_notify.outbox.environment import listener_prefixes, unknown_variables, variable

#: Account events carry password hashes.
NEVER_PUBLISHED = frozenset({"account"})
_KINTO_OWN = frozenset({"use", "actions", "resources"})
#: Keys of `kinto_redis.listeners`, which stood under the same prefix: nothing to do for them here.
_OF_FORMER_LISTENERS = frozenset({"pool_size", "listname"})
_T = TypeVar("_T")
#: Storage backends that have no database, though a `storage_url` may still stand in the ini.
_WITHOUT_DATABASE = (".memory", ".redis")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+\Z")


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """What the operator chose; `retention` in seconds, `redact` as JSON pointers split at their slashes."""

    url: str
    namespace: str = wire.DEFAULT_NAMESPACE
    #: `auto`, `spool` or `postgresql`.
    outbox: str = "auto"
    #: The URL of Kinto's storage, where that is PostgreSQL; it may hold a password.
    database: str = field(default="", repr=False)
    #: The dotted name of Kinto's storage backend, where the ini names one.
    backend: str = ""
    strict: bool = False
    spool: Path = Path()
    external_relay: bool = False
    durable: bool = False
    retention: int = 86400
    events: tuple[str, ...] = ()
    exclude: frozenset[str] = NEVER_PUBLISHED
    redact: tuple[tuple[str, ...], ...] = ()
    hooks: bool = False

    def mixes_with(self, other: "OutboxSettings") -> bool:
        """Tell whether each of two listeners would publish, in its own Redis, what the other has written down."""
        table = bool(self.database) and "spool" not in (self.outbox, other.outbox)
        shared = table or self.spool == other.spool
        return shared and self.namespace == other.namespace and self.url != other.url


def read_settings(settings: Mapping[str, Any], prefix: str) -> OutboxSettings:
    """Read all keys under `prefix`; an environment variable wins, also for a key that the ini lacks."""
    return _Reader(settings, prefix).read()


def default_spool() -> Path:
    """Return the spool directory for those who set none: in the user's state directory."""
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if os.path.isabs(state) else _expanded("~/.local/state")
    return home / "kinto-notify" / "spool"


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r}: this user has no home directory; give an absolute path") from None


class _Reader:
    def __init__(self, settings: Mapping[str, Any], prefix: str) -> None:
        self.settings = settings
        self.prefix = prefix
        self.problems: list[str] = []
        # Kinto has `settings_prefix`, Cliquet `project_name` and also takes its own name.
        named = (settings.get("settings_prefix"), settings.get("project_name"), "cliquet")
        self.projects = [str(name) for name in dict.fromkeys(named) if name]
        self.known: set[str] = set()

    def text(self, key: str) -> str:
        self.known.add(key)
        return self._of_project(self.prefix + key)

    def _of_project(self, key: str) -> str:
        for project in self.projects:
            name = variable(project, key)
            if name in os.environ:
                return os.environ[name].strip()
        return str(self.settings.get(key) or "").strip()

    def parsed(self, key: str, parse: Callable[[str], _T], default: _T) -> _T:
        text = self.text(key)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{self.prefix}{key}: {error}")
            return default

    def choice(self, key: str, *allowed: str) -> str:
        def parse(text: str) -> str:
            if text.lower() not in allowed:
                raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
            return text.lower()

        return self.parsed(key, parse, allowed[0])

    def read(self) -> OutboxSettings:
        outbox = self.choice("outbox", "auto", "spool", "postgresql")
        strict = self.parsed("strict", _boolean, False)
        if strict and outbox == "spool":
            self.problems.append(f"{self.prefix}strict: is for the outbox in PostgreSQL only")
        external = self.choice("relay", "thread", "external") == "external"
        spool = self.parsed("spool", _directory, None)
        if external and spool is None and outbox != "postgresql":
            self.problems.append(f"{self.prefix}spool: must be set when {self.prefix}relay is external")
        none: tuple[str, ...] = ()
        result = OutboxSettings(
            url=self._url(),
            namespace=self.parsed("namespace", wire.check_namespace, wire.DEFAULT_NAMESPACE),
            outbox=outbox,
            database=self._database(),
            backend=self._of_project("storage_backend"),
            strict=strict,
            spool=spool or self._default_spool(),
            external_relay=external,
            durable=self.choice("durability", "normal", "full") == "full",
            retention=self.parsed("retention", parse_duration, 86_400_000) // 1000,
            events=self.parsed("events", _dotted_names, ()),
            exclude=NEVER_PUBLISHED | frozenset(self.parsed("exclude_resources", _words, none)),
            redact=self.parsed("redact", _pointers, ()),
            hooks=self.parsed("hooks", _boolean, False),
        )
        self._unknown()
        if self.problems:
            raise ConfigError(self.problems)
        return result

    def _default_spool(self) -> Path:
        try:
            return default_spool()
        except ValueError as error:
            self.problems.append(f"{self.prefix}spool: {error}")
            return Path()

    def _url(self) -> str:
        url = self.text("url")
        if not url:
            self.problems.append(f"{self.prefix}url: is missing (for example redis://localhost:6379/0)")
        else:
            try:
                redis_url.check(url)
            except ValueError as error:
                self.problems.append(f"{self.prefix}url: {error}")
        return url

    def _database(self) -> str:
        """Return the URL of the project's own storage, `""` if that is not PostgreSQL."""
        url = self._of_project("storage_url")
        backend = self._of_project("storage_backend")
        return url if url.startswith("postgres") and not backend.endswith(_WITHOUT_DATABASE) else ""

    def _unknown(self) -> None:
        allowed = self.known | _KINTO_OWN
        for full in self.settings:
            key = full.removeprefix(self.prefix)
            if key == full or key in allowed or key in _OF_FORMER_LISTENERS:
                continue
            self.problems.append(f"{full}: there is no such setting{nearest(key, allowed, self.prefix)}")
        # Text in an ini; Python code that makes an application may give a list.
        listed = self.settings.get("event_listeners")
        named = " ".join(listed) if isinstance(listed, (list, tuple)) else self._of_project("event_listeners")
        others = listener_prefixes(self.settings, named)
        known = allowed | _OF_FORMER_LISTENERS
        self.problems += unknown_variables(os.environ, self.projects, self.prefix, known, others)


def _boolean(text: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is neither true nor false")
    return words[text.lower()]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _directory(text: str) -> Path | None:
    path = _expanded(text)
    if not path.is_absolute():
        raise ValueError(f"{text!r} is not an absolute path")
    if path.exists() and not path.is_dir():
        raise ValueError(f"{text!r} is not a directory")
    return path


def _dotted_names(text: str) -> tuple[str, ...]:
    for name in _words(text):
        if not _DOTTED.match(name):
            raise ValueError(f"{name!r} is not the dotted name of an event class")
    return _words(text)


def _pointers(text: str) -> tuple[tuple[str, ...], ...]:
    pointers = []
    for pointer in text.split():
        if not pointer.startswith("/") or pointer == "/":
            raise ValueError(f"{pointer!r} is not a JSON pointer such as /password")
        if pointer in ("/id", "/last_modified"):
            # They tell which object it is, and whether its write was committed.
            raise ValueError(f"{pointer} cannot be hidden")
        # RFC 6901: ~1 first, so that ~01 stays "~1".
        steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))
        pointers.append(tuple(steps))
    return tuple(pointers)
