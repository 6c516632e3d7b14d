"""Subscriptions as they are written → as they are asked: one schema for the operator's TOML and Kinto's metadata.

In: the tables that TOML or JSON gave, their home, the defaults of their digests. Out: `Subscription`s, each with its
resolved text. Fails with `SubscriptionError` that lists every problem of all tables, each with the path of its key.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from kinto_notify import pointer
from kinto_notify.address import Mailbox
from kinto_notify.digest import GROUP_BY_CHANGE, DigestRules
from kinto_notify.errors import BadInput
from kinto_notify.event import FILTER_WORDS
from kinto_notify.nearest import nearest
from kinto_notify.pattern import Filter
from kinto_notify.pointer import Pointer
from kinto_notify.subscription import FILE_HOME, Presentation, Subscription, Where, resolved_text
from kinto_notify.subscription_table import CommonTable, DigestTable, SubscriptionTable
from kinto_notify.timetable import EVERY_DAY, Timetable

#: The rules that every text holds; the others only where they say something.
_IN_TEXT = tuple(key for key in DigestRules.__slots__ if key not in ("timetable", "zone", "collapse"))
#: The name of a template on disk: a word, never a path.
_TEMPLATE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
_KEYS: dict[str, Sequence[str]] = {
    "": tuple(SubscriptionTable.model_fields),
    "digest": tuple(DigestTable.model_fields),
}
#: pydantic's words, as its error types, in ours.
_TOLD = {
    "missing": "is required",
    "too_short": "must name at least one",
    "list_type": "must be a list, in brackets",
    "string_type": "must be text, in quotes",
    "string_too_short": "must not be empty",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "model_type": "must be a table",
}


class SubscriptionError(BadInput):
    """One or more subscriptions are wrong; `problems` holds one line for each fault."""

    def __init__(self, problems: Sequence[str], /) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def parse_subscriptions(tables: Sequence[object], *, home: str, defaults: DigestRules) -> tuple[Subscription, ...]:
    """Read all subscriptions of one home, in order; two of one name are a problem."""
    found: dict[str, Subscription] = {}
    problems: list[str] = []
    for index, table in enumerate(tables):
        try:
            one = parse_subscription(table, home=home, index=index, defaults=defaults)
        except SubscriptionError as fault:
            problems += fault.problems
            continue
        if one.identity in found:
            twice = f"a subscription before it has the name {one.presentation.name!r}"
            nameless = "the same as one before it"
            named = isinstance(table, Mapping) and "name" in table
            problems.append(f"subscription {index + 1}: {twice if named else nameless}")
        found[one.identity] = one
    if problems:
        raise SubscriptionError(problems)
    return tuple(found.values())


def parse_subscription(raw: object, *, home: str, index: int, defaults: DigestRules) -> Subscription:
    """Read one subscription, the `index`th of its home; `SubscriptionError` lists all its problems."""
    label = f"subscription {index + 1}"
    if isinstance(raw, Mapping) and isinstance(raw.get("name"), str):
        label = f"subscription {json.dumps(raw['name'][:100], ensure_ascii=False)}"
    try:
        table = SubscriptionTable.model_validate(raw)
    except ValidationError as fault:
        raise SubscriptionError([f"{label}: {line}" for line in explain(fault)]) from None
    problems = contradictions(table, defaults)
    if table.template is not None and not _TEMPLATE.match(table.template):
        problems.append("template: must be the name of a template in the templates directory, without ending or path")
    if problems:
        raise SubscriptionError([f"{label}: {problem}" for problem in problems])
    return build(
        table,
        Presentation(
            home=home,
            name=table.name or _default_name(raw, home, index),
            subject=table.subject,
            template=table.template,
            sender=None if table.sender is None else str(table.sender),
        ),
        table.recipients,
        rules_of(table.digest, defaults, urgent=table.urgent),
    )


def explain(fault: ValidationError) -> list[str]:
    """Write one line for each fault: the path of the key, what is wrong."""
    lines = []
    for one in fault.errors(include_url=False, include_input=False):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in one["loc"]).removeprefix(".")
        if one["type"] == "extra_forbidden":
            table = ".".join(str(step) for step in one["loc"][:-1])
            told = f"there is no such key{nearest(str(one['loc'][-1]), _KEYS.get(table, ()))}"
        else:
            told = _TOLD.get(one["type"]) or str(one.get("ctx", {}).get("error", one["msg"]))
        lines.append(f"{path}: {told}" if path else told)
    return lines


def contradictions(table: CommonTable, defaults: DigestRules) -> list[str]:
    """Name what is right by itself but not together."""
    problems = []
    interval = defaults.interval if table.digest.interval is None else table.digest.interval
    if table.digest.max_wait is not None and table.digest.max_wait < interval:
        problems.append("digest.max_wait: is shorter than the interval, which grows up to it")
    if table.digest.timezone is not None and not (table.digest.at or table.digest.days or table.digest.quiet):
        problems.append("digest.timezone: says nothing without at, days or quiet")
    return problems


def rules_of(table: DigestTable, defaults: DigestRules, *, urgent: bool = False) -> DigestRules:
    """Return the rules of a digest table, the defaults where it is silent; `urgent` is each change at once."""
    if urgent or table.urgent:
        return DigestRules(wait=0, interval=0, group_by=(GROUP_BY_CHANGE,), zone=defaults.zone)
    interval = defaults.interval if table.interval is None else table.interval
    return DigestRules(
        wait=defaults.wait if table.wait is None else table.wait,
        interval=interval,
        max_wait=max(defaults.max_wait, interval) if table.max_wait is None else table.max_wait,
        max_events=defaults.max_events if table.max_events is None else table.max_events,
        max_listed=defaults.max_listed if table.max_listed is None else table.max_listed,
        group_by=defaults.group_by if table.group_by is None else table.group_by,
        collapse=table.collapse == "net",
        timetable=_timetable(table, defaults.zone),
        zone=defaults.zone,
    )


def _timetable(table: DigestTable, zone: ZoneInfo) -> Timetable | None:
    if not (table.at or table.days or table.quiet):
        return None
    return Timetable(table.timezone or zone, tuple(sorted(set(table.at))), table.days or EVERY_DAY, table.quiet)


def build(
    table: CommonTable,
    shown: Presentation,
    recipients: Iterable[object],
    rules: DigestRules,
    further_text: Mapping[str, object] | None = None,
) -> Subscription:
    """Put the parsed values together; two spellings of one meaning get one text.

    `shown` is the presentation as far as the homes differ in it; of `recipients` the addresses and pointers are taken;
    `further_text` is what else tells two subscriptions apart.
    """
    filters = tuple((word, wanted) for word in FILTER_WORDS if (wanted := getattr(table, word)) is not None)
    presentation = replace(
        shown,
        content=table.content,
        reply_to=None if table.reply_to is None else str(table.reply_to),
        max_listed=rules.max_listed,
    )
    rest: dict[str, object] = {
        "filters": {word: _spelling(wanted) for word, wanted in filters},
        "where": {pointer.text(one.path): _condition(one) for one in table.where},
        "changed": sorted(map(pointer.text, table.changed)),
        "exclude_actor": table.exclude_actor,
        "redact": sorted(map(pointer.text, table.redact)),
        "digest": {key: getattr(rules, key) for key in _IN_TEXT},
        **({} if rules.timetable is None else {"timetable": rules.timetable.text}),
        **({"collapse": "net"} if rules.collapse else {}),
        **(further_text or {}),
    }
    # One inbox gets one mail, however often and in whatever case it is listed.
    mailboxes: dict[str, Mailbox] = {}
    pointers: dict[Pointer, None] = {}
    for one in recipients:
        if isinstance(one, Mailbox):
            mailboxes.setdefault(one.key, one)
        elif isinstance(one, tuple):
            pointers[one] = None
    return Subscription(
        presentation=presentation,
        recipients=tuple(mailboxes.values()),
        text=resolved_text(presentation, rest),
        rules=rules,
        from_record=tuple(pointers),
        filters=filters,
        where=table.where,
        changed=table.changed,
        exclude_actor=table.exclude_actor,
        redact=table.redact,
    )


def _spelling(wanted: Filter) -> list[str]:
    """Write a filter: the order of its words and their repetition mean nothing."""
    return sorted({word.text for word in wanted.words})


def _condition(one: Where) -> list[str]:
    """Write a condition's values and patterns as JSON texts, which sort whatever their types."""
    values = {json.dumps(value, ensure_ascii=False) for value in one.values}
    return sorted(values | ({json.dumps(text) for text in _spelling(one.patterns)} if one.patterns else set()))


def _default_name(raw: object, home: str, index: int) -> str:
    """Name a nameless one: in the file by its content, for lines move; in metadata by its place."""
    if home != FILE_HOME:
        return str(index)
    written = json.dumps(raw, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]
