"""What Redis does for us: its time by script and by command, as Redis itself counts it.

In: a client. Out: Markdown. Between `watch` and `told` its slow log has every call of a script, but not the commands
that a script calls, which would take longer to log than to do: those are in `INFO commandstats`.
"""

from collections import Counter
from collections.abc import Mapping
from hashlib import sha1
from importlib.resources import files
from typing import Any

from kinto_notify.store.client import script_text

#: More than a turn of a profile has; and what no command in a script takes, but every script.
_KEPT, _SLOW_US = 500_000, 50
_SHOWN = 12


def watch(client: Any) -> None:
    """Begin to count."""
    client.config_set("slowlog-max-len", _KEPT)
    client.config_set("slowlog-log-slower-than", _SLOW_US)
    client.slowlog_reset()
    client.config_resetstat()


def told(client: Any, units: int, unit: str) -> str:
    """Tell what took most since, for each of so many units."""
    client.config_set("slowlog-log-slower-than", -1)
    stats = client.info("commandstats")
    scripts = _scripts()
    calls: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for one in client.slowlog_get(_KEPT):
        command, _, arguments = one["command"].partition(b" ")
        name = command.decode().lower()
        if name == "evalsha":
            name = scripts.get(arguments.partition(b" ")[0].decode(), name)
        calls[name] += 1
        used[name] += one["duration"]
    lines = [f"| script or command | calls a {unit} | µs a {unit} | µs a call |\n|---|--:|--:|--:|"]
    for name, spent in used.most_common(_SHOWN):
        cells = [f"`{name}`", f"{calls[name] / units:.2f}", f"{spent / units:.1f}", f"{spent / calls[name]:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _inside(stats, sum(used[name] for name in scripts.values()), units)])


def _scripts() -> dict[str, str]:
    """Return the names of our scripts by what Redis calls them."""
    found = [one.name for one in files("kinto_notify.store").iterdir() if one.name.endswith(".lua")]
    return {sha1(script_text(name.removesuffix(".lua")).encode()).hexdigest(): name for name in found}


def _inside(stats: Mapping[str, Any], spent: int, units: int) -> str:
    """Tell which commands took most, in scripts and outside of them."""
    commands = {name.removeprefix("cmdstat_"): one["usec"] / units for name, one in stats.items()}
    commands.pop("evalsha", None)
    most = sorted(commands.items(), key=lambda one: -one[1])[:_SHOWN]
    named = ", ".join(f"`{name}` {took:.1f}" for name, took in most)
    return (
        f"Scripts took {spent / units:.1f} µs, all commands, theirs among them, {sum(commands.values()):.1f}"
        f" (the rest of a script is Lua): {named}."
    )
