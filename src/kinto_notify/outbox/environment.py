"""Variables of the environment that look like the listener's settings and are none.

In: the environment, the names of our variables and of what shares their beginning. Out: one line for each that
nothing reads: a misspelt `..._REDACT` would publish what it was to hide. Pure; never fails.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kinto_notify.nearest import nearest

_LISTENERS = "event_listeners"
#: The daemon's variables begin with KINTO_NOTIFY_ too: of what it may know, only a slip of ours is told.
#: No variable of the daemon is so near one of ours; a test holds them together.
_SLIP = 0.75
#: A letter or two of KINTO_EVENT_LISTENERS_NOTIFY_: what is further off may be a listener of another Kinto.
_NEARLY = 0.96


def variable(project: str, key: str) -> str:
    """Return the variable that stands for a setting, the way Kinto and Cliquet name it."""
    return f"{project}.{key}".replace(".", "_").replace("-", "_").upper()


def unknown_variables(
    environ: Collection[str], projects: Iterable[str], prefix: str, known: Collection[str], others: Collection[str]
) -> list[str]:
    """Return a problem for each variable under `prefix` that is not among the keys `known`.

    `others` are the prefixes of further listeners: `notify_two.url` is none of `notify`'s, though it begins so.
    """
    problems = []
    names = {variable("", key).removeprefix("_") for key in known}
    shared = not prefix.startswith(_LISTENERS)
    for project in dict.fromkeys(name.upper() for name in projects):
        head = variable(project, prefix)
        heads = {variable(project, other) for other in others}
        longer = tuple(other for other in heads if other != head and other.startswith(head))
        for full in sorted(environ):
            name = full.removeprefix(head)
            if name == full or name in names or full.startswith(longer):
                continue
            guess = nearest(name, names, head, _SLIP) if shared else nearest(name, names, head)
            if guess or not shared:
                problems.append(f"{full}: there is no such setting{guess}")
        if not shared:
            problems += _of_no_listener(environ, variable(project, f"{_LISTENERS}."), head, names, heads)
    return problems


def _of_no_listener(
    environ: Collection[str], start: str, head: str, names: Collection[str], heads: Collection[str]
) -> list[str]:
    """Name the variables of a listener that there is not, where it is nearly called like ours."""
    problems = []
    for full in sorted(environ):
        if not full.startswith(start) or full.startswith((head, *heads)):
            continue
        keys = [name for name in names if full.endswith(f"_{name}")]
        guesses = (nearest(full.removesuffix(name), [head], cutoff=_NEARLY) and f"{head}{name}" for name in keys)
        if found := next(filter(None, guesses), None):
            problems.append(f"{full}: there is no such listener; did you mean {found}?")
    return problems


def listener_prefixes(settings: Mapping[str, Any], named: str) -> set[str]:
    """Return the prefixes of all listeners that the settings know; `named` is what `event_listeners` says."""
    names = {name.rpartition(".")[2] for name in named.split()}
    parts = (key.split(".") for key in settings if key.startswith(f"{_LISTENERS}."))
    return {f"{_LISTENERS}.{name}." for name in names | {part[1] for part in parts if len(part) > 2}}
