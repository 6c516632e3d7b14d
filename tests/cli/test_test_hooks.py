"""`test-hooks`, and what `preview` and `explain` know of hooks: offline, for a CI of those who write metadata."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.desk import Desk
from support.events import change, event

HOME = "/buckets/b/collections/c"
GROUP = "/buckets/b/groups/reviewers"


@pytest.fixture
def ci(nowhere: Desk) -> Desk:
    """No Redis, no smarthost: only the policy of the operator."""
    nowhere.variables |= {"recipients": "", "allowed_recipients": "*@example.org"}
    return nowhere


def written(tmp_path: Path, name: str, one: object) -> str:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(one))
    return str(path)


def tried(desk: Desk, tmp_path: Path, hooks: object, *more: str, **data: Any) -> tuple[int, dict[str, Any]]:
    told = event(**data)
    done = desk("test-hooks", written(tmp_path, "hooks", hooks), written(tmp_path, "event", told), "--json", *more)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["event"] == told["id"]
    return done.returncode, found


def emailers(*hooks: dict[str, Any]) -> dict[str, Any]:
    return {"kinto-emailer": {"hooks": list(hooks)}}


GOOD = {
    "subject": "{action} {id}",
    "template": "{user_id} wrote {record_id}.",
    "recipients": ["Ann <ann@example.org>", GROUP],
}


def test_a_hook_that_matches_shows_its_mail(ci: Desk, tmp_path: Path) -> None:
    told = event()
    done = ci("test-hooks", written(tmp_path, "hooks", emailers(GOOD)), written(tmp_path, "event", told))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{HOME}#emailer-0: matches",
        f"  To: Ann <ann@example.org>, {GROUP}",
        "  Subject: create r1",
        "  | account:alice wrote r1.",
        "1 hooks: 1 match, 0 problems",
    ]


def test_one_that_does_not_match_names_the_filter_and_is_good(ci: Desk, tmp_path: Path) -> None:
    ours = {"hooks": [{"name": "ends", "action": "delete", "recipients": ["ann@example.org"]}]}
    code, told = tried(ci, tmp_path, emailers({**GOOD, "id": "^x"}) | {"kinto-notify": ours})
    assert code == 0
    assert [(one["hook"], one["matches"], [why["filter"] for why in one["refused"]]) for one in told["hooks"]] == [
        (f"{HOME}#emailer-0", False, ["id"]),
        (f"{HOME}#ends", False, ["action"]),
    ]
    done = ci("test-hooks", str(tmp_path / "hooks.json"), str(tmp_path / "event.json"))
    assert "  action: wants delete; there is 'create'" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "2 hooks: 0 match, 0 problems"


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ({"recipients": ["eve@evil.example", "ann@example.org"]}, "recipient: eve@evil.example is outside"),
        ({"sender": "boss@example.org"}, "sender: boss@example.org is outside"),
        ({"template": "{comment}"}, "placeholder: empty: comment"),
        ({"template": "{"}, "kinto-emailer hook 1: template: "),
        ({"recipients": []}, "Empty list of recipients."),
        ({"id": "^(a|aa)+$"}, "slow: id: "),
    ],
)
def test_d11_what_is_wrong_is_told_and_fails(ci: Desk, tmp_path: Path, hook: dict[str, Any], problem: str) -> None:
    code, told = tried(ci, tmp_path, emailers(GOOD | hook, GOOD), changes=[change("a" * 40 + "!")])
    problems = [*told["problems"], *told["hooks"][0]["problems"]]
    assert code == 65
    assert any(one.startswith(problem) for one in problems), problems
    assert (told["hooks"][1]["matches"], told["hooks"][1]["problems"]) == (True, [])


def test_metadata_as_kinto_answers_it_and_a_list_of_hooks(ci: Desk, tmp_path: Path) -> None:
    ours = [{"recipients": ["ann@example.org"], "content": "none"}]
    for hooks in ({"data": {"id": "c", "kinto-notify": {"hooks": ours}}, "permissions": {}}, ours):
        code, told = tried(ci, tmp_path, hooks)
        assert (code, told["hooks"][0]["hook"], len(told["hooks"][0]["mails"])) == (0, f"{HOME}#0", 1)


def test_a_group_that_each_change_names(ci: Desk, tmp_path: Path) -> None:
    hook = GOOD | {"recipients": ["/buckets/b/groups/{record_id}-team"]}
    _, told = tried(ci, tmp_path, emailers(hook), changes=[change("r1"), change("r2")])
    assert [mail["to"] for mail in told["hooks"][0]["mails"]] == [[f"/buckets/b/groups/r{n}-team"] for n in (1, 2)]


def test_an_emailer_hook_hears_of_no_bucket(ci: Desk, tmp_path: Path) -> None:
    bucket = {"resource_name": "bucket", "bucket_id": "b", "collection_id": None, "changes": [change("b")]}
    code, told = tried(ci, tmp_path, emailers(GOOD), **bucket)
    assert (code, told["hooks"][0]["matches"], told["hooks"][0]["mails"]) == (0, False, [])
    assert told["hooks"][0]["hook"] == "/buckets/b#emailer-0"


def test_the_home_may_be_said(ci: Desk, tmp_path: Path) -> None:
    _, told = tried(ci, tmp_path, emailers(GOOD), "--home", "/buckets/b")
    assert told["hooks"][0]["hook"] == "/buckets/b#emailer-0"
    paths = str(tmp_path / "hooks.json"), str(tmp_path / "event.json")
    done = ci("test-hooks", *paths, "--home", "/buckets")
    assert (done.returncode, done.stderr) == (
        65,
        "kinto-notify: '/buckets' is no home of hooks: /buckets/ID or /buckets/ID/collections/ID\n",
    )


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ("[", "is no JSON"),
        ("{}", "neither a list nor an object with"),
        ("[" * 100_000, "is no JSON"),
        ('{"kinto-emailer": []}', "FAIL  kinto-emailer: must be an object like"),
    ],
)
def test_files_that_are_none_are_told_in_one_line(ci: Desk, tmp_path: Path, hooks: str, said: str) -> None:
    path = tmp_path / "hooks.json"
    path.write_text(hooks)
    done = ci("test-hooks", str(path), written(tmp_path, "event", event()))
    assert done.returncode == 65
    assert said in (done.stdout + done.stderr).splitlines()[0]
    assert ci("test-hooks", str(path), "nowhere.json").returncode == 65
    assert ci("test-hooks", "-", "-").returncode == 64


def carrying(*hooks: dict[str, Any]) -> dict[str, Any]:
    return event(hooks=[{"home": HOME, "key": "kinto-emailer", "index": n, "hook": one} for n, one in enumerate(hooks)])


def test_preview_of_an_event_and_its_hooks(ci: Desk, tmp_path: Path) -> None:
    path = written(tmp_path, "event", carrying(GOOD, GOOD | {"action": "delete"}))
    done = ci("preview", f"{HOME}#emailer-0", "--event", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "Subject: create r1\n\naccount:alice wrote r1."
    refused = ci("preview", f"{HOME}#emailer-1", "--event", path)
    assert (refused.returncode, refused.stdout) == (65, "")
    assert f"{HOME}#emailer-1 makes no mail of this event" in refused.stderr
    unknown = ci("preview", "articles", "--event", path)
    assert (unknown.returncode, f"there are: {HOME}#emailer-0, {HOME}#emailer-1" in unknown.stderr) == (65, True)


def test_preview_of_an_event_by_a_subscription_of_the_file(ci: Desk, tmp_path: Path) -> None:
    done = ci("preview", "--event", written(tmp_path, "event", event()), recipients="ann@example.org")
    assert (done.returncode, "Title of r1" in done.stdout) == (0, True)


def test_explain_tells_what_is_wrong_with_a_hook_of_the_event(ci: Desk, tmp_path: Path) -> None:
    path = written(tmp_path, "event", carrying({"template": "{"}, GOOD | {"template": "{comment}"}))
    lines = ci("explain", path).stdout.splitlines()
    assert f"{HOME}#emailer-1: wants it" in lines
    assert any(line.startswith(f"{HOME}#0: unreadable: ") for line in lines)
    assert f"{HOME}#emailer-1: placeholder: empty: comment" in lines
    told = json.loads(ci("explain", path, "--json").stdout)
    assert [one["kind"] for one in told["remarks"]] == ["unreadable", "placeholder"]
