"""The link by which a recipient rules what comes to their inbox: a right in a URL, signed; no login, no cookie.

Pure. In: whose mails of which subscription. Out: a token of always 64 characters, `A-Z a-z 0-9 - _`, so that a mail has
room for it before it is known; and back. The right is that of one recipient and one subscription of one namespace, for
two years. `read` never fails: what is forged, cut off, of another namespace or too old is None, nobody learns which.
"""

import base64
import hmac
import re
from dataclasses import dataclass

from kinto_notify.wish import DAY_MS, subscription_key

TOKEN_LENGTH = 64
#: An old mail's link should still work, but not for ever: mails are passed on.
VALID_DAYS = 731
PATH = "/u/"
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}")
# What a token says: 16 bytes of the recipient, 12 of the subscription, 2 of the day; then 18 bytes of the signature.
_RECIPIENT, _SUBSCRIPTION, _DAY = 16, 12, 2
_SIGNED = _RECIPIENT + _SUBSCRIPTION + _DAY
_SIGNATURE = 18
#: Says what is signed: a signature of ours for something else must never pass for this one.
_PURPOSE = b"kinto-notify inbox 1"


@dataclass(frozen=True, slots=True)
class Right:
    """Over the mails of one subscription (its `subscription_key`) to one recipient (its fingerprint)."""

    recipient: str
    subscription: str


@dataclass(frozen=True, slots=True)
class InboxLinks:
    """Makes and reads the links. The first of `secrets` signs, all are accepted, so that they can be changed."""

    public_url: str
    namespace: str
    secrets: tuple[str, ...]

    @property
    def one_click(self) -> bool:
        """Whether mail programs may be told to unsubscribe by themselves: RFC 8058 wants HTTPS for that."""
        return self.public_url.startswith("https://")

    def url(self, token: str) -> str:
        """Return the link."""
        return f"{self.public_url}{PATH}{token}"

    def token(self, fingerprint: str, identity: str, made: int) -> str:
        """Return the token of a recipient's right, made at a time in milliseconds; the same on each call of a day."""
        day = made // DAY_MS
        said = bytes.fromhex(fingerprint + subscription_key(identity)) + day.to_bytes(_DAY)
        return base64.urlsafe_b64encode(said + self._sign(self.secrets[0], said)).decode()

    def read(self, token: str, now: int) -> Right | None:
        """Return the right, or None. The time it takes does not tell which secret signed, nor what was wrong."""
        if not _TOKEN.fullmatch(token):
            return None
        raw = base64.urlsafe_b64decode(token)
        said, signature = raw[:_SIGNED], raw[_SIGNED:]
        good = 0
        for secret in self.secrets:
            good |= hmac.compare_digest(self._sign(secret, said), signature)
        day = int.from_bytes(said[-_DAY:])
        if not good or now // DAY_MS > day + VALID_DAYS:
            return None
        return Right(said[:_RECIPIENT].hex(), said[_RECIPIENT : _RECIPIENT + _SUBSCRIPTION].hex())

    def _sign(self, secret: str, said: bytes) -> bytes:
        text = b"\0".join((_PURPOSE, self.namespace.encode(), said))
        return hmac.digest(secret.encode(), text, "sha256")[:_SIGNATURE]
