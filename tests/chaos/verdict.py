"""Whether the invariants held in a run. Pure.

I1  What was committed was mailed to each recipient (here nothing is refused for good, so nothing may be buried).
I2  Nothing else was mailed.
I3  Each change reached each recipient under one Message-ID, and stands once in that mail.
I4  A second copy of a mail: only where it was in flight at a fault, or the smarthost took it and did not say so.
I5  At rest Redis holds only what may stay, nothing waits, and every daemon drains.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.record import RECIPIENTS, Record
from support.rest import MAY_STAY

#: Of each kind of fault so many are described, the rest is counted.
SHOWN = 5


def broken(record: Record) -> list[str]:
    """Describe what broke: nothing, if all invariants held."""
    checks = {"I1": _lost, "I2": _unknown, "I3": _regrouped, "I4": _copied, "I5": _left}
    told = []
    for name, check in checks.items():
        found = list(check(record))
        told += [f"{name} {text}" for text in found[:SHOWN]]
        if len(found) > SHOWN:
            told.append(f"{name} ... and {len(found) - SHOWN} more")
    return told


def copies(record: Record) -> int:
    """Count the mails that were copies of others."""
    return len(record.letters) - len({letter.ident for letter in record.letters})


def summary(record: Record, ok: bool) -> str:
    """Say in one line what was done and what came of it."""
    what = Counter(done.what.split()[0] for done in record.done)
    flight = sum(len(done.flight) for done in record.done)
    return (
        f"seed {record.seed}: {'ok' if ok else 'BROKEN'}  {len(record.published)} changes x {len(RECIPIENTS)},"
        f" {len(record.letters)} mails, {copies(record)} copies"
        f" ({flight} in flight at faults, {sum(record.dropped.values())} taken and dropped);"
        f" {what['killed']} kills, {what['stopped']} stops, {what['redis']} Redis kills,"
        f" {sum(record.smtp_faults.values())} SMTP faults, {record.repeated} published again; {record.seconds:.0f} s"
    )


def _lost(record: Record) -> Iterator[str]:
    told = {(one.uri, letter.recipient) for letter in record.letters for one in letter.told()}
    for uri, at in record.published.items():
        for recipient in RECIPIENTS:
            if (uri, recipient) not in told:
                yield f"lost: {uri} to {recipient}, published at {at:.2f} s; {_before(record, at)}"
    for one in record.dead:
        yield f"buried: {one}"


def _unknown(record: Record) -> Iterator[str]:
    for letter in record.letters:
        for one in letter.told():
            if one.uri not in record.published:
                yield f"unknown: {one.uri} to {letter.recipient} in {letter.ident}"
        if letter.recipient not in RECIPIENTS:
            yield f"unknown recipient: {letter.recipient}"


def _regrouped(record: Record) -> Iterator[str]:
    under: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for letter in record.letters:
        for one, times in Counter(letter.told()).items():
            under[one.uri, letter.recipient].setdefault(letter.ident, letter.mail.at - record.start)
            if times > 1:
                yield f"{times} times in one mail: {one.uri} to {letter.recipient} in {letter.ident}"
        if letter.total() != len(letter.told()):
            yield f"a total of {letter.total()} where {len(letter.told())} are listed, in {letter.ident}"
    for (uri, recipient), idents in under.items():
        if len(idents) > 1:
            mailed = ", ".join(f"{ident} at {at:.2f} s" for ident, at in idents.items())
            yield f"mailed under {len(idents)} Message-IDs: {uri} to {recipient}: {mailed}"


def _copied(record: Record) -> Iterator[str]:
    allowed = Counter(ident for done in record.done for ident in done.flight) + record.dropped
    mailed = Counter(letter.ident for letter in record.letters)
    for ident, times in mailed.items():
        if times - 1 > allowed[ident]:
            at = [letter.mail.at - record.start for letter in record.letters if letter.ident == ident]
            moments = ", ".join(f"{one:.2f}" for one in at)
            yield f"{times} copies of {ident} at {moments} s, {allowed[ident]} explained; {_before(record, at[-1])}"


def _left(record: Record) -> Iterator[str]:
    if not record.rest:
        yield f"still waiting: {record.waiting}"
    elif record.keys - MAY_STAY:
        yield f"keys that stay for ever: {', '.join(sorted(record.keys - MAY_STAY))}"
    for name, code in record.exits.items():
        if code:
            yield f"{name} drained with exit code {code}"


def _before(record: Record, at: float) -> str:
    earlier = [done for done in record.done if done.at <= at]
    return f"before it: {earlier[-1].what} at {earlier[-1].at:.2f} s" if earlier else "no fault before it"
