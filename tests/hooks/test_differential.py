"""kinto-emailer 4.0.0 and kinto-notify, each on a real Kinto, told the same: every difference is one of D1 to D11.

A case is one request to both. Compared are the answer, and for each hook the mails: recipients, subjects, bodies,
senders. What differs must be explained by a deviation that a piece of the case is marked with (`hooks.cases`), and only
in the way that this deviation says.
"""

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from hooks.cases import CERTAIN, Case, Operation, Section, cases
from kinto_notify.demo.servers import RedisServer
from support.emailer import Emailer, Told
from support.hooked import Hooked, send

#: Of them a good third come to mails.
CASES = 1_000
_MARK = re.compile(r"#([a-z]\d)")
#: `last_modified` and the like: the two Kintos do not write in the same millisecond.
_TIME = re.compile(r"\b1[0-9]{12}\b|\b1(?:,[0-9]{3}){4}\b")
#: In a batch kinto-emailer tells the URI of the first request, and no address.
_OF_BATCH = re.compile(r"<(?:/[^>]*|None|[0-9.]+)>")
_GROUPS = {
    "g": ["ldap:gil@example.org", "fxa:123", "a:Hal <hal@example.org>"],
    "c-staff": ["staff@example.org"],
    "r1": ["basicauth:r1@example.org"],
}
_PROJECT = {"project_name": "Our Kinto"}


class Pair:
    """The two of them."""

    def __init__(self, emailer: Emailer, hooked: Hooked) -> None:
        self.emailer = emailer
        self.hooked = hooked
        self.buckets = 0
        self.compared = 0
        self.mails = 0
        self.seen: Counter[str] = Counter()

    def tell(self, operation: Operation, bucket: str) -> tuple[Any, Any]:
        """Do the same on both; return both answers."""
        path = operation.path.replace("{{B}}", bucket)
        body = json.loads(json.dumps(operation.body).replace("{{B}}", bucket))
        theirs = send(self.emailer.app, operation.method, path, body)
        ours = self.hooked.request(operation.method, path, body)
        self.compared += 1
        return theirs, ours


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """kinto-emailer's tracebacks, a thousand of them, are what is expected of it; to write them takes a third of it."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, quiet: None) -> Iterator[Pair]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        hooked = Hooked(server.url, Path(tmp_path_factory.mktemp("spool"), "differential"), _PROJECT)
        yield Pair(Emailer(_PROJECT), hooked)
        hooked.close()


def test_every_difference_is_one_of_the_deviations(pair: Pair) -> None:
    @settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        # A case is small as it is: to find the smallest takes minutes. Add Phase.shrink if one must be.
        phases=(Phase.explicit, Phase.generate),
    )
    @given(cases())
    def compare(case: Case) -> None:
        _compare(pair, case)

    for case in CERTAIN:
        compare = example(case)(compare)
    compare()
    assert pair.compared >= CASES, pair.compared
    assert pair.mails >= CASES // 3, pair.mails
    # Each deviation that can be met here was met, so that no rule is there in vain. D6 and D11 have tests of their own.
    assert set(pair.seen) == {"D1", "D2", "D3", "D4", "D5", "D7", "D8", "D9", "D10"}, pair.seen
    assert pair.hooked.faults == []


def _compare(pair: Pair, case: Case) -> None:
    pair.buckets += 1
    bucket = f"b{pair.buckets}"
    groups = {"g": ["ldap:gil@example.org", "fxa:123", "a:Hal <hal@example.org>"], "c-staff": ["staff@example.org"]}
    groups["r1"] = ["basicauth:r1@example.org"]
    scene = [
        Operation("PUT", "/buckets/{{B}}", _metadata(case.bucket)),
        *(
            Operation("PUT", f"/buckets/{{{{B}}}}/groups/{name}", {"data": {"members": groups[name]}})
            for name in groups
        ),
        Operation("PUT", "/buckets/{{B}}/collections/c", _metadata(case.collection)),
    ]
    sections = [one for one in (case.bucket, case.collection) if one is not None]
    for operation in [*scene, *case.operations]:
        theirs, ours = pair.tell(operation, bucket)
        found, mine = pair.emailer.mails(), pair.hooked.mails()
        pair.mails += len(mine)
        if not _same_answers(pair, theirs, ours, sections):
            # What one of them stores from here on the other does not.
            return
        if theirs.status_int != 500:
            _same_mails(pair, found, mine, operation, sections)


def _group(name: str) -> Operation:
    return Operation("PUT", f"/buckets/{{{{B}}}}/groups/{name}", {"data": {"members": _GROUPS[name]}})


def _metadata(section: Section | None) -> Any:
    return {"data": {} if section is None else {"kinto-emailer": section.written}}


def _same_answers(pair: Pair, theirs: Any, ours: Any, sections: Iterable[Section]) -> bool:
    """Tell whether both took the request; a difference must be a deviation that the case has."""
    tags = frozenset().union(*(one.tags for one in sections))
    assert ours.status_int < 500, ours.body
    if theirs.status_int == ours.status_int:
        if ours.status_int == 400:
            _same_refusal(pair, theirs.json, ours.json, tags)
            return False
        return True
    if ours.status_int == 400:
        # Of an object that kinto-emailer takes, or stumbles over at once or later.
        assert theirs.status_int in (200, 201, 500), theirs.body
        explained = tags & {"D2", "D4", "D8"}
        assert explained, (ours.json, sections)
        if "Invalid bucket for groups" in ours.json["message"]:
            assert "D2" in tags
            pair.seen["D2"] += 1
        else:
            pair.seen.update(explained - {"D2"})
        return False
    assert theirs.status_int == 500, theirs.body
    # A text that can't be rendered, or a pattern that our bounded engine reads and theirs does not: no write suffers.
    explained = tags & {"D3", "D8"}
    assert explained, (theirs.body, sections)
    pair.seen.update(explained)
    return True


def _same_refusal(pair: Pair, theirs: Any, ours: Any, tags: frozenset[str]) -> None:
    for key in ("code", "errno", "error"):
        assert theirs[key] == ours[key]
    if (theirs["message"], theirs["details"]) != (ours["message"], ours["details"]):
        # A group that only looks like one of this bucket is refused too, before or among others.
        assert "D2" in tags, (theirs, ours)
        assert ours["message"].startswith("body: Invalid bucket for groups"), (theirs, ours)
        pair.seen["D2"] += 1


def _same_mails(
    pair: Pair, theirs: list[Told], ours: list[Told], operation: Operation, sections: Iterable[Section]
) -> None:
    tags = {mark: found for one in sections for mark, found in one.hooks.items()}
    by_hook_theirs, by_hook_ours = _by_hook(theirs), _by_hook(ours)
    empty = any(not mail.body for mail in ours)
    for mark in sorted({*by_hook_theirs, *by_hook_ours}):
        one, other = by_hook_theirs[mark], by_hook_ours[mark]
        if one == other:
            continue
        why = _explained(one, other, tags[mark], operation, empty=empty)
        assert why is not None, f"#{mark}\ntheirs {one - other}\nours {other - one}\n{operation}\n{sections}"
        pair.seen[why] += 1


def _explained(
    theirs: Counter[Told], ours: Counter[Told], tags: frozenset[str], operation: Operation, *, empty: bool
) -> str | None:
    """Name the deviation that makes these differ, None if there is none that does."""
    twice = "D7" in tags
    if twice and _equal(theirs, ours, twice=True):
        return "D7"
    if "D1" in tags and not theirs and ours:
        return "D1"
    if "D10" in tags and operation.several and _equal(_masked(theirs), _masked(ours), twice=twice):
        return "D10"
    if "D8" in tags and _equal(_folded(theirs), _folded(ours), twice=twice):
        return "D8"
    if empty and theirs.keys() <= ours.keys():
        # kinto-emailer fails at the first mail without a body and loses what follows.
        return "D9"
    if _collections(operation) > 1:
        return "D5"
    return None


def _equal(theirs: Counter[Told], ours: Counter[Told], *, twice: bool) -> bool:
    """Tell whether they are the same mails; with `twice`, theirs may go to one inbox as often as it is listed."""
    if not twice:
        return theirs == ours
    return theirs.keys() == ours.keys() and all(theirs[mail] % times == 0 for mail, times in ours.items())


def _by_hook(mails: list[Told]) -> defaultdict[str, Counter[Told]]:
    found: defaultdict[str, Counter[Told]] = defaultdict(Counter)
    for mail in mails:
        # The last one: a collection that is shown holds its hooks.
        mark = (_MARK.findall(mail.body) or _MARK.findall(mail.subject))[-1]
        found[mark][_timeless(mail)] += 1
    return found


def _timeless(mail: Told) -> Told:
    return Told(mail.recipient, _TIME.sub("<time>", mail.subject), _TIME.sub("<time>", mail.body), mail.sender)


def _masked(mails: Counter[Told]) -> Counter[Told]:
    """Without what a batch hides from kinto-emailer."""
    found: Counter[Told] = Counter()
    for mail, times in mails.items():
        subject, body = (_OF_BATCH.sub("", text) for text in (mail.subject, mail.body))
        found[Told(mail.recipient, subject, body, mail.sender)] += times
    return found


def _folded(mails: Counter[Told]) -> Counter[Told]:
    """Blanks folded, and no more of a subject than a mail of ours shows."""
    found: Counter[Told] = Counter()
    for mail, times in mails.items():
        subject, body = (" ".join(text.split()) for text in (mail.subject, mail.body))
        found[Told(mail.recipient, subject[:190], body, mail.sender)] += times
    return found


def _collections(operation: Operation) -> int:
    """How many collections a request may touch."""
    if operation.path == "/batch":
        paths = [one["path"] for one in operation.body["requests"]]
        return len({path for path in paths if path.count("/") == 4})
    return 2 if operation.path.endswith("/collections") else 1
