"""The same with the relay 20 ms away, through 10 and through 100 sessions, against a pool of as many."""

import contextlib

from mails.away import AWAY_S, Away
from mails.contestant import Contestant
from mails.ours import Ours
from mails.peers import SmtpPool
from mails.stage import stage
from mails.turns import Work, take_turns
from mails.used import processor
from mails.verdict import Line, at_least, standings

#: Mails by sessions: a pool of ten takes 25 s for 3,000, and says as much with fewer.
NUMBERS = {10: 600, 100: 3_000}
TIMES = 3.5


def measure(rounds: int) -> tuple[list[Line], str]:
    """Return the lines of the table, and what everybody took."""
    with stage() as found, contextlib.ExitStack() as ending:
        away = ending.enter_context(Away(found.place, found.sink))
        turns: list[tuple[Contestant, Work]] = []
        for sessions, number in NUMBERS.items():
            settings = {"smtp_sessions": str(sessions), "namespace": f"far-{sessions}"}
            ours = Ours(found.place, found.redis.url, away.port, **settings)
            ours.title = f"kinto-notify, {sessions} sessions"
            pool = SmtpPool(found.place, found.redis.url, away.port, sessions)
            pair: tuple[Contestant, ...] = (ours, pool)
            turns += [(ending.enter_context(one), Work(number, number)) for one in pair]
        everyone = take_turns(turns, found, rounds)
        held = processor(away) / sum(one.work.units / rate for one in everyone for rate in one.rates)
    lines = []
    for sessions, mine, theirs in zip(NUMBERS, everyone[::2], everyone[1::2], strict=True):
        what = f"relay {AWAY_S * 1000:.0f} ms away, {sessions} sessions"
        lines.append(at_least(what, mine.rate, "aiosmtplib's", theirs.rate, TIMES))
    return lines, f"{standings(everyone)}\n\nHolding the replies took {held:.0%} of a processor."
