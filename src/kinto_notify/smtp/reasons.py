"""What a refusal is about: read from its enhanced status code (RFC 3463) first, and from its words where it has none.

Pure. In: code and text of a reply, and the phase it answered. Out: yes or no. The class of a reply (now or never) is
not decided here (`outcome.py`): what is said here refines it, and where nothing fits the answer is no.
"""

import re

from kinto_notify.delivery import Reply

_ENHANCED = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})\b")
# 5.2.3: too big for this recipient; 5.3.4: too big for this relay.
_SIZE = frozenset({"2.3", "3.4"})
# 5.1.1: no such mailbox; 5.1.10: the same, as Exchange says it, or a domain that takes no mail (RFC 7505).
_MAILBOX = frozenset({"1.1", "1.10"})
_THROTTLE = re.compile(r"\brates?\b|\brate[- ]|throttl|too many|too fast|slow down|server busy", re.IGNORECASE)
_CROWD = re.compile(
    r"too many ((concurrent|simultaneous|open|smtp) )*(connection|session)s?|"
    r"(concurrent|simultaneous) (\w+ ){0,2}?(connection|session)s?|(connection|session)s? limit",
    re.IGNORECASE,
)
_POLICY = re.compile(
    r"relay|denied|not (permitted|allowed|authori[sz]ed)|prohibited|blocked|block ?list|black ?list|spam|policy|"
    r"rcpthosts",
    re.IGNORECASE,
)


def enhanced(reply: Reply) -> str | None:
    """Return subject and detail of the reply's enhanced status code (`7.1` of `5.7.1`), None without one."""
    found = _ENHANCED.match(reply.text)
    return found[1] if found else None


def too_big(reply: Reply) -> bool:
    """Tell whether a 5xx is about the size of the message, so that a smaller one might pass."""
    status = enhanced(reply)
    return reply.code == 552 if status is None else status in _SIZE


def unknown_mailbox(reply: Reply) -> bool:
    """Tell whether a 5xx says that nobody has this address; a bare 550 at RCPT does, unless it speaks of policy."""
    status = enhanced(reply)
    if status is not None:
        return status in _MAILBOX
    return reply.phase == "RCPT" and reply.code == 550 and not _POLICY.search(reply.text)


def crowded(reply: Reply) -> bool:
    """Tell whether a 4xx says that we have too many connections, which fewer messages a second would not cure."""
    return 400 <= reply.code <= 499 and _CROWD.search(reply.text) is not None


def throttled(reply: Reply) -> bool:
    """Tell whether a 4xx says that we send too fast; what is about one mailbox (X.1, X.2) or connections is not."""
    if not 400 <= reply.code <= 499 or crowded(reply):
        return False
    status = enhanced(reply)
    if status is not None and status.startswith(("1.", "2.")):
        return False
    # 454 after the login is what SES says; 4.7.28 is what Gmail says.
    return reply.code == 454 or status == "7.28" or _THROTTLE.search(reply.text) is not None


def of_policy(reply: Reply) -> bool:
    """Tell whether a 5xx is a matter of policy (`Relay access denied`) and not of the mailbox or the message."""
    status = enhanced(reply)
    return status.startswith("7.") if status is not None else _POLICY.search(reply.text) is not None
