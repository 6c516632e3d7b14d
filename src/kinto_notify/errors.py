"""The error tree: what can go wrong that a person or a caller must tell apart.

Expected fates of a delivery are values (`delivery.Outcome`), not errors. An exception here means "I cannot go on".
"""

from collections.abc import Sequence


class KintoNotifyError(Exception):
    """Something went wrong in kinto-notify."""

    exit_code = 1

    def __init__(self, message: str = "", /) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class UsageError(KintoNotifyError):
    """The command line is wrong."""

    exit_code = 64


class BadInput(KintoNotifyError):
    """A given file, entry or message is not what it should be."""

    exit_code = 65


class MalformedEntry(BadInput):
    """A stream entry is not an event of a version this daemon knows."""


class Unavailable(KintoNotifyError):
    """Redis, the smarthost or Kinto's database can't be reached now."""

    exit_code = 69


class StoreUnavailable(Unavailable):
    """Redis did not take or answer a command; the same call may succeed later."""


class StreamHeld(StoreUnavailable):
    """Redis is nearly full: it is given nothing more until there is room."""

    exit_code = 75


class OutboxUnavailable(Unavailable):
    """Kinto's database did not take or answer a statement of ours; the same call may succeed later."""


class RelayFault(Unavailable):
    """The smarthost itself is at fault (connection, greeting, login, our sender): no delivery is to blame.

    `throttled`: it says that mails come too fast.
    """

    def __init__(self, message: str = "", /, *, throttled: bool = False) -> None:
        super().__init__(message)
        self.throttled = throttled


class NoSession(Unavailable):
    """All sessions to the smarthost have been busy for long: somebody else may have one."""


class TryLater(KintoNotifyError):
    """What was asked can't be done now."""

    exit_code = 75


class ConfigError(KintoNotifyError):
    """The configuration is wrong; `problems` holds one line for each fault, all at once."""

    exit_code = 78

    def __init__(self, problems: str | Sequence[str], /) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))
