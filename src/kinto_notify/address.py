"""Mail addresses, parsed once and strictly; free text never reaches the SMTP client or a header.

Pure. What passes is one mailbox (RFC 5322 3.4) without comments, quoting tricks or line breaks: aiosmtplib would make
`b@x` of `"b@x, c@x"` without a word.
"""

import hashlib
from dataclasses import dataclass

import email_validator
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

# A mail relay inside a company serves `.local`, `.internal` and `localhost`; whether a domain may be mailed is the
# operator's policy, not the parser's. The library documents this list as the one to change for that.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

#: RFC 5321 4.5.3.1.3: a path is at most 256 octets, its brackets included.
MAX_ADDRESS_OCTETS = 254
#: A display name is a courtesy; a longer one only serves to hide the address.
MAX_NAME_LENGTH = 128


@dataclass(frozen=True, slots=True, order=True)
class Mailbox:
    """A display name (may be empty) and an addr-spec whose domain is in ASCII (an A-label where it was not)."""

    name: str
    address: str

    @property
    def smtputf8(self) -> bool:
        """Whether the local part needs a smarthost that offers SMTPUTF8 (RFC 6531)."""
        return not self.address.isascii()

    @property
    def domain(self) -> str:
        """The domain, in lower case."""
        return self.address.rpartition("@")[2].lower()

    @property
    def key(self) -> str:
        """What two spellings of one inbox have in common: local parts that differ in case are one inbox to people."""
        return self.address.casefold()

    @property
    def fingerprint(self) -> str:
        """Name the inbox in a key, where no address may stand: the first half of a SHA-256, as hex."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def parse_mailbox(text: str) -> Mailbox:
    """Read `address` or `Name <address>`; `ValueError` says what is wrong with it."""
    name, address = _split(text)
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError(f"{text!r}: control characters do not belong in an address")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"{text[:40]!r}…: a display name has at most {MAX_NAME_LENGTH} characters")
    if "=?" in address:
        # RFC 2047 5 (3) forbids it, and some readers decode it all the same.
        raise ValueError(f"{text!r}: an encoded word does not belong in an address")
    try:
        told: ValidatedEmail = validate_email(
            address, check_deliverability=False, globally_deliverable=False, allow_smtputf8=True
        )
    except EmailNotValidError as fault:
        raise ValueError(f"{text!r}: {fault}") from None
    found = told.ascii_email or f"{told.local_part}@{told.ascii_domain}"
    if len(found.encode()) > MAX_ADDRESS_OCTETS:
        raise ValueError(f"{text[:40]!r}…: an address has at most {MAX_ADDRESS_OCTETS} octets")
    return Mailbox(name, found)


def _split(text: str) -> tuple[str, str]:
    """Part `Name <address>`; a quoted name loses its quotes."""
    stripped = text.strip(" ")
    if not stripped.endswith(">"):
        return "", stripped
    name, bracket, address = stripped[:-1].rpartition("<")
    if not bracket:
        raise ValueError(f"{text!r}: '>' without '<'")
    name = name.strip(" ")
    if len(name) >= 2 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if "<" in name or ">" in name:
        raise ValueError(f"{text!r}: more than one address in angle brackets")
    return name, address
