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
    """Tell what took which share since, and how often it was called for each of so many units.

    Shares, since Redis counts by the clock: where the machine has other work too, that is more than the processor's.
    """
    client.config_set("slowlog-log-slower-than", -1)
    stats = client.info("commandstats")
    scripts = _scripts()
    calls: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for one in client.slowlog_get(_KEPT):
        command, _, arguments = one["command"].partition(b" ")
        if command == b"EVALSHA" and (name := scripts.get(arguments.partition(b" ")[0].decode())):
            calls[name] += 1
            used[name] += one["duration"]
    lines = [f"| script | share | calls a {unit} |\n|---|--:|--:|"]
    for name, spent in used.most_common():
        lines.append(f"| `{name}` | {spent / used.total():.0%} | {calls[name] / units:.4f} |")
    return "\n".join([*lines, "", _inside(stats, used.total())])


def _scripts() -> dict[str, str]:
    """Return the names of our scripts by what Redis calls them."""
    found = [one.name for one in files("kinto_notify.store").iterdir() if one.name.endswith(".lua")]
    return {sha1(script_text(name.removesuffix(".lua")).encode()).hexdigest(): name for name in found}


def _inside(stats: Mapping[str, Any], spent: int) -> str:
    """Tell which commands took most, most of them in scripts."""
    commands = {name.removeprefix("cmdstat_"): one["usec"] / spent for name, one in stats.items()}
    commands.pop("evalsha", None)
    most = sorted(commands.items(), key=lambda one: -one[1])[:_SHOWN]
    named = ", ".join(f"`{name}` {share:.0%}" for name, share in most)
    return f"All commands, most of them in scripts, are {sum(commands.values()):.0%} of that: {named}."
