"""Metadata of a bucket or collection, checked on its way into Kinto: what is wrong with the hooks in it.

Pure. In: the object as it will be stored, its URI. Out: `Faults`. What kinto-emailer 4.0.0 refuses is refused in its
words, the first fault alone; what it let through and stumbled over later is refused too, all of it at once.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kinto_notify.digest import DigestRules
from kinto_notify.hook_table import EMAILER, NOTIFY, is_group, read_table
from kinto_notify.nearest import nearest
from kinto_notify.subscription_text import SubscriptionError

#: All hooks of one object travel with every event below it.
MAX_HOOKS_BYTES = 32_768
MAX_HOOKS = 100
#: A refusal is read by a person.
_MAX_LISTED = 50
_MAX_FAULT = 1_000
#: What is enough of an address for kinto-emailer: no blank or bracket, one `@` with something on both sides.
_BARE = re.compile(r"[^\s@<>]+@[^\s@<>]+\n?\Z")
_IN_BRACKETS = re.compile(r".*<[^\s@<>]+@[^\s@<>]+>")
_SECTION = ("hooks", "inherit")


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong: one line for each fault; empty if nothing is."""

    lines: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines)


def check_metadata(metadata: Mapping[str, object], home: str) -> Faults:
    """Check what an object holds under the two keys; `home` is its URI, which names the bucket of its groups."""
    if EMAILER in metadata:
        told = _emailers(metadata[EMAILER], home.split("/")[2])
        if told is not None:
            return Faults((told,))
    faults = [fault for key in (EMAILER, NOTIFY) if key in metadata for fault in _section(key, metadata[key], home)]
    return Faults(tuple(fault[:_MAX_FAULT] for fault in faults[:_MAX_LISTED]))


def _emailers(section: object, bucket: str) -> str | None:
    """Return what kinto-emailer says of its section; None if it says nothing, or fails over the wrong types in it."""
    if not isinstance(section, Mapping):
        return None
    if "hooks" not in section:
        return 'Missing "hooks".'
    hooks = section["hooks"]
    for hook in hooks if isinstance(hooks, Sequence) and not isinstance(hooks, str) else ():
        if not isinstance(hook, Mapping):
            return None
        told = _emailers_hook(hook, bucket)
        if told is not None:
            return told
    return None


def _emailers_hook(hook: Mapping[str, object], bucket: str) -> str | None:
    if "template" not in hook:
        return 'Missing "template".'
    recipients = hook.get("recipients")
    if not recipients:
        return "Empty list of recipients."
    # A text is a sequence of letters to it.
    listed = list(recipients) if isinstance(recipients, (str, list)) else []
    if not all(isinstance(one, str) for one in listed):
        return None
    wrong = [one for one in listed if not (_BARE.match(one) or _IN_BRACKETS.match(one) or is_group(one))]
    if wrong:
        return f"Invalid recipients {', '.join(wrong)}"[:_MAX_FAULT]
    foreign = [one for one in listed if is_group(one) and not one.startswith(f"/buckets/{bucket}/")]
    if foreign:
        return f"Invalid bucket for groups {', '.join(foreign)}"[:_MAX_FAULT]
    return None


def _section(key: str, section: object, home: str) -> list[str]:
    """Return all that is wrong under one key."""
    if not isinstance(section, Mapping):
        return [f'{key}: must be an object like {{"hooks": [...]}}']
    faults = []
    if key == NOTIFY:
        unknown = [name for name in section if name not in _SECTION]
        faults += [f"{key}.{name}: there is no such key{nearest(name, _SECTION)}" for name in unknown]
    if not isinstance(section.get("inherit", False), bool):
        faults.append(f"{key}.inherit: must be true or false")
    hooks = section.get("hooks")
    if not isinstance(hooks, list):
        return [*faults, f"{key}.hooks: must be a list"]
    if len(hooks) > MAX_HOOKS:
        return [*faults, f"{key}.hooks: are {len(hooks)}, at most {MAX_HOOKS} work"]
    size = len(json.dumps(hooks, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MAX_HOOKS_BYTES:
        return [*faults, f"{key}.hooks: are {size:,} bytes, at most {MAX_HOOKS_BYTES:,} work"]
    return [*faults, *_hooks(key, hooks, home)]


def _hooks(key: str, hooks: Sequence[object], home: str) -> list[str]:
    faults: list[str] = []
    names: set[str] = set()
    for index, hook in enumerate(hooks):
        if not isinstance(hook, Mapping):
            faults.append(f"{key} hook {index + 1}: must be an object")
            continue
        try:
            table = read_table(hook, key=key, home=home, index=index, defaults=DigestRules())
        except SubscriptionError as fault:
            faults += fault.problems
            continue
        if table.name is not None and table.name in names:
            faults.append(f"{key} hook {index + 1}: name: a hook before it has the name {table.name!r}")
        names.add(table.name or "")
    return faults
