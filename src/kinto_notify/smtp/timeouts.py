"""How long each step of an SMTP session may take, in seconds, each named after what is waited for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The defaults are the least that RFC 5321 4.5.3.2 allows a client, where it names one."""

    #: Name resolution and TCP, all addresses together. Not in the RFC: a host that is there answers in a second.
    connect: float = 30.0
    #: With implicit TLS the handshake has this long too. A busy relay delays its greeting on purpose.
    greeting: float = 300.0
    ehlo: float = 300.0
    #: The handshake after STARTTLS. Not in the RFC: it is two round trips.
    tls: float = 60.0
    #: Each reply of a login. Not in the RFC; failed logins are slowed down by servers.
    login: float = 120.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    #: Each 64 KiB of the message (4.5.3.2.5), so that a relay that takes less than 364 bytes a second is given up.
    block: float = 180.0
    #: A shorter one makes duplicates: the relay may still be working on the message (RFC 1047).
    dot: float = 600.0
    #: The reply to QUIT is a courtesy.
    quit: float = 2.0
    #: An idle session is given back after this: it costs the relay a slot, and firewalls forget it.
    idle: float = 10.0
    #: A session lives no longer, so that a relay's load balancer and our own failing over come to be.
    lifetime: float = 300.0
    #: A relay that failed is left alone for about `pause_least`, then twice that and so on up to `pause_most`.
    pause_least: float = 1.0
    pause_most: float = 60.0
    #: A relay that is on trial, or begins slowly after an outage, gets another message after this without an answer to
    #: one. A healthy relay answers sooner; what stalls longer may be about that one message.
    stall: float = 5.0
    #: A relay that refused a further connection is asked for one more after this.
    regrow: float = 60.0
