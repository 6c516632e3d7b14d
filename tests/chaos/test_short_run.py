"""M01, R01, D01 to D11: a short run of `make chaos`; and that its verdict sees what it is there for."""

from collections import Counter
from pathlib import Path

import pytest

from chaos.plan import Size, faults
from chaos.record import RECIPIENTS, Done, Record
from chaos.scene import Scene
from chaos.verdict import broken, copies, summary
from support.inbox import Letter
from support.smtp_script import Mail

SHORT = Size(events=1_200, seconds=15.0, faults=8, redis_kills=1)
#: Its plan has kills, a short stop, and one that outlasts the lease, before and after the end of Redis.
SEED = 51


def test_nothing_is_lost_and_copies_are_explained(tmp_path: Path) -> None:
    record = Scene(tmp_path, SEED, SHORT).run()
    print(summary(record, True))
    assert broken(record) == []
    assert sum(done.what.startswith("killed") for done in record.done) >= 4
    assert sum(done.what.startswith("redis") for done in record.done) == 1
    assert sum(record.smtp_faults.values()) >= 5
    assert any(done.flight for done in record.done)
    assert record.repeated


def test_a_seed_is_the_same_plan_each_time() -> None:
    assert faults(1, SHORT) == faults(1, SHORT) != faults(2, SHORT)
    plan = faults(3, Size())
    assert Counter(one.kind == "redis" for one in plan) == {False: 25, True: 3}
    assert {one.kind for one in plan} == {"kill", "stop", "redis"}


def letter(recipient: str, *names: str, ident: str = "m", total: int | None = None) -> Letter:
    rows = "".join(f"create|/{name}|/title||x\r\n" for name in names)
    text = (
        f"Message-ID: <{ident}-{recipient}>\r\nContent-Type: text/plain\r\n\r\n{rows}total|{total or len(names)}|||\r\n"
    )
    return Letter(Mail("kinto@example.org", (recipient,), text.encode(), 1.0, 0))


def seen(*letters: Letter, **more: object) -> Record:
    record = Record(1, published={"/a": 0.0, "/b": 0.5}, letters=list(letters), rest=True)
    for name, value in more.items():
        setattr(record, name, value)
    return record


WHOLE = [letter(one, "a", "b") for one in RECIPIENTS]
COPY = WHOLE[0]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (seen(*WHOLE), []),
        (seen(*WHOLE[1:]), ["I1 lost: /a", "I1 lost: /b"]),
        (seen(*WHOLE, dead=["d1 delivery 550"]), ["I1 buried: d1"]),
        (seen(*WHOLE, letter(RECIPIENTS[0], "c", ident="n")), ["I2 unknown: /c"]),
        (seen(*WHOLE, letter(RECIPIENTS[0], "a", ident="n")), ["I3 mailed under 2 Message-IDs: /a"]),
        (seen(*WHOLE[1:], letter(RECIPIENTS[0], "a", "b", "b")), ["I3 2 times in one mail: /b"]),
        (seen(*WHOLE[1:], letter(RECIPIENTS[0], "a", "b", total=3)), ["I3 a total of 3 where 2 are listed"]),
        (seen(*WHOLE, COPY), ["I4 2 copies of"]),
        (seen(*WHOLE, COPY, done=[Done(0.2, "killed one", frozenset({COPY.ident}))]), []),
        (seen(*WHOLE, COPY, dropped=Counter({COPY.ident: 1})), []),
        (seen(*WHOLE, COPY, COPY, dropped=Counter({COPY.ident: 1})), ["I4 3 copies of"]),
        (seen(*WHOLE, rest=False, waiting="1 due"), ["I5 still waiting: 1 due"]),
        (seen(*WHOLE, keys={"events", "body"}), ["I5 keys that stay for ever: body"]),
        (seen(*WHOLE, exits={"one": 0, "two": 1}), ["I5 two drained with exit code 1"]),
    ],
)
def test_the_verdict(record: Record, told: list[str]) -> None:
    found = broken(record)
    assert [text for text, start in zip(found, told, strict=True) if not text.startswith(start)] == []
    assert ("BROKEN" in summary(record, not found)) == bool(told)


def test_copies_are_counted() -> None:
    assert copies(seen(*WHOLE, COPY)) == 1
