"""The daemon's settings: environment and credentials → one frozen `Settings`.

In: the variables `KINTO_NOTIFY_*` (each is a field below, in lower case), the files and credentials they name.
Out: `Settings`, whose repr shows no secret. Fails with `ConfigError` that lists every problem at once, one line each
with the variable's name; no value of a secret is ever in it.
"""

import dataclasses
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import PlainValidator, TypeAdapter, ValidationError

from kinto_notify import values
from kinto_notify.address import Mailbox, parse_mailbox
from kinto_notify.credentials import PREFIX, Gathered, gather
from kinto_notify.delivery import RetryPolicy
from kinto_notify.digest import DigestRules
from kinto_notify.duration import format_duration, parse_duration
from kinto_notify.errors import ConfigError
from kinto_notify.inbox_link import InboxLinks
from kinto_notify.rate import Rate, parse_rate
from kinto_notify.schedule import parse_zone
from kinto_notify.smarthost import Relay, parse_relays
from kinto_notify.wire import DEFAULT_NAMESPACE, check_namespace

#: A secret that signs links, or opens the door to acts, should not be guessable.
MIN_SECRET_LENGTH = 16
_SMTP_PARTS = ("SMTP_URL", "SMTP_USERNAME", "SMTP_PASSWORD")


def _relays(parts: tuple[str, str | None, str | None]) -> tuple[Relay, ...]:
    return parse_relays(*parts)


Duration = Annotated[int, PlainValidator(parse_duration)]
Period = Annotated[int, PlainValidator(values.period)]
LimitedTo = Annotated[Rate | None, PlainValidator(parse_rate)]
Address = Annotated[Mailbox, PlainValidator(parse_mailbox)]
Globs = Annotated[tuple[str, ...], PlainValidator(values.globs)]
Url = Annotated[str | None, PlainValidator(values.web_url)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator chose. Times are in milliseconds; `warnings` are lines for the log at start."""

    redis_url: Annotated[str, PlainValidator(values.redis_url)] = field(default="redis://localhost:6379/0", repr=False)
    namespace: Annotated[str, PlainValidator(check_namespace)] = DEFAULT_NAMESPACE
    stream_keep: Period = 7 * 86_400_000
    list: str | None = None
    name: Annotated[str, PlainValidator(values.instance_name)] = field(default_factory=socket.gethostname)
    smtp_relays: Annotated[tuple[Relay, ...], PlainValidator(_relays)] = field(repr=False)
    smtp_ca: Annotated[Path | None, PlainValidator(values.existing_file)] = None
    smtp_sessions: Annotated[int, PlainValidator(values.whole(1, 1000))] = 10
    smtp_rate: LimitedTo = None
    recipient_rate: LimitedTo = None
    bucket_rate: LimitedTo = None
    sender: Address
    bounce_address: Address
    allowed_senders: Globs = ()
    operator: Annotated[Mailbox | None, PlainValidator(parse_mailbox)] = None
    recipients: Annotated[tuple[Mailbox, ...], PlainValidator(values.mailboxes)] = ()
    subscriptions: Annotated[Path | None, PlainValidator(values.existing_file)] = None
    templates: Annotated[Path | None, PlainValidator(values.existing_directory)] = None
    allowed_recipients: Globs = ()
    digest_wait: Duration = 30_000
    digest_interval: Duration = 300_000
    retry_min: Period = 60_000
    retry_max: Period = 3_600_000
    give_up_after: Period = 3 * 86_400_000
    drain_timeout: Duration = 20_000
    web_bind: Annotated[tuple[str, int] | None, PlainValidator(values.bind)] = ("127.0.0.1", 9464)
    public_url: Annotated[str | None, PlainValidator(values.link_url)] = None
    secret: Annotated[tuple[str, ...], PlainValidator(values.words)] = field(default=(), repr=False)
    admin_token: str | None = field(default=None, repr=False)
    admin_url: Url = None
    timezone: Annotated[ZoneInfo, PlainValidator(parse_zone)] = field(default_factory=lambda: parse_zone("UTC"))
    log_format: Annotated[str, PlainValidator(values.choice("auto", "console", "json"))] = "auto"
    log_level: Annotated[str, PlainValidator(values.choice("debug", "info", "warning", "error", "critical"))] = "info"
    dry_run: Annotated[bool, PlainValidator(values.truth)] = False
    warnings: tuple[str, ...] = ()

    @property
    def news_ms(self) -> int:
        """For how long after its capture a change is news; when it arrives later it becomes a dead letter."""
        return max(self.give_up_after, self.stream_keep)

    @property
    def retry(self) -> RetryPolicy:
        """When a deferred delivery is tried again, and when it is given up."""
        return RetryPolicy(self.retry_min, self.retry_max, self.give_up_after)

    @property
    def digest(self) -> DigestRules:
        """What a subscription without a `digest` table gets."""
        return DigestRules(wait=self.digest_wait, interval=self.digest_interval, zone=self.timezone)

    @property
    def links(self) -> InboxLinks | None:
        """The links by which recipients rule their inbox; None where nobody could reach them."""
        return InboxLinks(self.public_url, self.namespace, self.secret) if self.public_url and self.secret else None


#: The names of all variables, without their prefix.
VARIABLES = frozenset(
    {*_SMTP_PARTS, *(one.name.upper() for one in dataclasses.fields(Settings))} - {"SMTP_RELAYS", "WARNINGS"}
)
_adapter: TypeAdapter[Settings] = TypeAdapter(Settings)


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check everything; `ConfigError` lists all problems, each with the name of its variable."""
    found = gather(environ, VARIABLES)
    given: dict[str, object] = {name.lower(): text for name, text in found.values.items() if name not in _SMTP_PARTS}
    given["smtp_relays"] = (
        found.values.get("SMTP_URL", "smtp://localhost:25"),
        found.values.get("SMTP_USERNAME"),
        found.values.get("SMTP_PASSWORD"),
    )
    if "SENDER" in found.values:
        given.setdefault("bounce_address", found.values["SENDER"])
    try:
        settings = _adapter.validate_python(given)
    except ValidationError as fault:
        raise ConfigError([*found.problems, *_explain(fault, found)]) from None
    problems = [*found.problems, *_contradictions(settings)]
    if problems:
        raise ConfigError(problems)
    return dataclasses.replace(
        settings,
        # Whose mail server it is may be written to; everybody else is the operator's decision.
        allowed_recipients=settings.allowed_recipients or (f"*@{settings.sender.domain}",),
        warnings=(*found.warnings, *_remarks(settings, found)),
    )


def _explain(fault: ValidationError, found: Gathered) -> list[str]:
    """Write one line for each variable that is wrong."""
    lines = []
    for one in fault.errors(include_url=False, include_input=False):
        name = str(one["loc"][0]).upper()
        if name == "SMTP_RELAYS":
            # The default relay can only lack one half of its login.
            lacking = "SMTP_PASSWORD" if "SMTP_USERNAME" in found.values else "SMTP_USERNAME"
            name = "SMTP_URL" if "SMTP_URL" in found.values else lacking
        if name == "SENDER" and one["type"] == "missing":
            lines.append(f"{PREFIX}SENDER: is required, the address that mails come from: Kinto <kinto@example.org>")
        elif name != "BOUNCE_ADDRESS" or name in found.values:
            # A bounce address that was not given is the sender, whose fault is told already.
            told = str(one.get("ctx", {}).get("error", one["msg"]))
            lines.append(f"{found.origin.get(name, PREFIX + name)}: {told}")
    return lines


def _contradictions(settings: Settings) -> list[str]:
    """Name what is right by itself but not together."""
    problems = []
    orders: tuple[tuple[str, int, str, int], ...] = (
        ("RETRY_MAX", settings.retry_max, "RETRY_MIN", settings.retry_min),
        ("GIVE_UP_AFTER", settings.give_up_after, "RETRY_MIN", settings.retry_min),
    )
    for longer, most, shorter, least in orders:
        if most < least:
            problems.append(
                f"{PREFIX}{longer}: {format_duration(most)} is shorter than {PREFIX}{shorter}, {format_duration(least)}"
            )
    if settings.list is not None and settings.redis_url.startswith("redis+cluster:"):
        problems.append(f"{PREFIX}LIST: needs one Redis; in a cluster its key and the stream are on different nodes")
    if settings.public_url and not settings.secret:
        problems.append(f"{PREFIX}SECRET: is required with {PREFIX}PUBLIC_URL, to sign the links")
    return problems


def _remarks(settings: Settings, found: Gathered) -> list[str]:
    """Name what works, but hardly as it was meant."""
    signing = {"SECRET": settings.secret, "ADMIN_TOKEN": (settings.admin_token,) if settings.admin_token else ()}
    weak = {name for name, texts in signing.items() for one in texts if len(one) < MIN_SECRET_LENGTH}
    return [
        f"{found.origin[name]}: is shorter than {MIN_SECRET_LENGTH} characters, easy to guess" for name in sorted(weak)
    ]
