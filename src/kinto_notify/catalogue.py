"""All subscriptions of the operator, and the policy for the addresses that records name.

In: the settings, the file `SUBSCRIPTIONS` names, `RECIPIENTS`. Out: a frozen `Catalogue`. Fails with `ConfigError` that
lists every problem, each with the variable and, where there is one, the file and its line. It is read again at a
reload, so a good catalogue is replaced by a good one only.
"""

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kinto_notify.address import Mailbox
from kinto_notify.credentials import PREFIX
from kinto_notify.errors import ConfigError
from kinto_notify.event import Event
from kinto_notify.hook import HookPolicy
from kinto_notify.hook_book import HookBook
from kinto_notify.nearest import nearest
from kinto_notify.settings import Settings
from kinto_notify.subscription import FILE_HOME, Subscription
from kinto_notify.subscription_text import SubscriptionError, parse_subscriptions

#: The name of the subscription that `RECIPIENTS` makes.
DEFAULT_NAME = "default"
#: The key of the file's tables.
_TABLE = "subscription"
#: The endings of a template's parts, any of which may be absent.
_TEMPLATE_PARTS = (".subject", ".txt", ".html")
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)\Z")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the operator subscribed, and whom a record may name. `warnings` are lines for the log at start."""

    subscriptions: tuple[Subscription, ...]
    policy: HookPolicy
    hooks: HookBook
    warnings: tuple[str, ...] = ()

    def allows(self, mailbox: Mailbox) -> bool:
        """Tell whether an address that a record (not the operator) named may be written to."""
        return self.policy.recipient(mailbox)

    def subscriptions_of(self, event: Event) -> list[Subscription]:
        """Return whoever may want an event: the operator's subscriptions, and the hooks that it carries."""
        return [*self.subscriptions, *(self.hooks.subscriptions(event) if event.data.hooks else ())]


def load_catalogue(settings: Settings) -> Catalogue:
    """Read and check everything that is subscribed; `ConfigError` lists all problems."""
    tables: list[object] = []
    problems: list[str] = []
    source = f"{PREFIX}RECIPIENTS"
    if settings.subscriptions is not None:
        source = f"{PREFIX}SUBSCRIPTIONS: {settings.subscriptions}"
        tables += _read(settings.subscriptions, source)
    if settings.recipients:
        if any(isinstance(table, dict) and table.get("name") == DEFAULT_NAME for table in tables):
            problems.append(f'{source}: subscription "default": that is the name of the one {PREFIX}RECIPIENTS makes')
        else:
            tables.append({"name": DEFAULT_NAME, "recipients": [str(one) for one in settings.recipients]})
    try:
        found = parse_subscriptions(tables, home=FILE_HOME, defaults=settings.digest)
    except SubscriptionError as fault:
        raise ConfigError([*problems, *(f"{source}: {problem}" for problem in fault.problems)]) from None
    own = frozenset({settings.sender.key, settings.bounce_address.key})
    for one in found:
        place = f"{PREFIX}RECIPIENTS" if one.presentation.name == DEFAULT_NAME else source
        problems += [f"{place}: {problem}" for problem in _misfits(one, settings, own)]
    if problems:
        raise ConfigError(problems)
    policy = HookPolicy(
        recipient=lambda mailbox: _allowed(mailbox, settings.allowed_recipients, own),
        sender=lambda mailbox: any(fnmatchcase(mailbox.key, glob) for glob in settings.allowed_senders),
    )
    return Catalogue(found, policy, HookBook(settings.digest, policy), _remarks(found))


def _allowed(mailbox: Mailbox, globs: tuple[str, ...], own: frozenset[str]) -> bool:
    """Tell whether an address that a record or a hook (not the operator) named may be written to; our own never may."""
    return mailbox.key not in own and any(fnmatchcase(mailbox.key, glob) for glob in globs)


def _read(path: Path, source: str) -> list[object]:
    """Return the file's `[[subscription]]` tables as they are written."""
    try:
        # Byte order marks are what some editors put first; TOML has no word for them.
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise ConfigError(f"{source}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise ConfigError(f"{source}:{line}: is not UTF-8 text") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{source}:{_explain(str(fault), text)}") from None
    unknown = [key for key in document if key != _TABLE]
    if unknown:
        raise ConfigError([f"{source}: {key}: there is no such key{nearest(key, (_TABLE,))}" for key in unknown])
    tables = document.get(_TABLE, [])
    if not isinstance(tables, list):
        raise ConfigError(f"{source}: write [[{_TABLE}]], in two brackets: there may be several")
    return tables


def _explain(told: str, text: str) -> str:
    """Return the line, and what is wrong there, as tomllib told it."""
    found = _AT_LINE.search(told)
    if found is not None:
        return f"{found[1]}: is not TOML: {_AT_LINE.sub('', told)}"
    # What ends too early began somewhere above; where, it does not say.
    last = len(text.rstrip().splitlines()) or 1
    return f"{last}: is not TOML: {told}: a bracket or a quote is not closed"


def _misfits(one: Subscription, settings: Settings, own: frozenset[str]) -> list[str]:
    """Name what is a good subscription but not with these settings."""
    label = f'subscription "{one.presentation.name}"'
    problems = [
        # A mail to the address that mails come from comes back as a bounce or an answer, and so on for ever.
        f"{label}: recipients: {mailbox.address} is this daemon's own {PREFIX}SENDER or {PREFIX}BOUNCE_ADDRESS"
        for mailbox in one.recipients
        if mailbox.key in own
    ]
    template = one.presentation.template
    if template is not None:
        if settings.templates is None:
            problems.append(f"{label}: template: {PREFIX}TEMPLATES is not set, so there is no {template!r}")
        elif not any(settings.templates.joinpath(template + part).is_file() for part in _TEMPLATE_PARTS):
            wanted = " nor ".join(template + part for part in _TEMPLATE_PARTS)
            problems.append(f"{label}: template: {settings.templates} holds neither {wanted}")
    return problems


def _remarks(found: tuple[Subscription, ...]) -> tuple[str, ...]:
    """Name what works, but hardly as it was meant."""
    if found:
        return ()
    return (f"nothing is subscribed: set {PREFIX}RECIPIENTS or {PREFIX}SUBSCRIPTIONS, else no mail is ever sent",)
